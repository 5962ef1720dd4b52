#include "engine/native/rope.h"

#include <fmt/format.h>
#include <ggml.h>
#include <gguf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>

#include "engine/native/native_forward.h"
#include "engine/native/oracle.h"
#include "engine/synth/synth.h"

namespace skep::engine::native {
namespace {

using Kind = RopeScaling::Kind;

TEST(Rope, TurnsSlowerFromPairToPair) {
  const Rope rope = make_rope(8, 10'000, true, {});
  ASSERT_EQ(rope.frequencies.size(), 4U);
  EXPECT_DOUBLE_EQ(rope.frequencies[0], 1);
  EXPECT_DOUBLE_EQ(rope.frequencies[2], 0.01);
  EXPECT_DOUBLE_EQ(rope.magnitude, 1);
}

TEST(Rope, WithYarnKeepsTheFastPairsAndStretchesTheSlowOnes) {
  const Rope plain = make_rope(128, 10'000, true, {});
  const Rope yarn = make_rope(128, 10'000, true, {Kind::yarn, 4, 2048, 1});
  EXPECT_DOUBLE_EQ(yarn.frequencies.front(), plain.frequencies.front());
  EXPECT_DOUBLE_EQ(yarn.frequencies.back(), plain.frequencies.back() / 4);
  for (size_t i = 1; i < yarn.frequencies.size(); ++i) EXPECT_LT(yarn.frequencies[i], yarn.frequencies[i - 1]);
  EXPECT_NEAR(yarn.magnitude, 1 + 0.1 * std::log(4), 1e-12);
}

TEST(Rope, RefusesFactorsThatAreNotPositiveOrTooFew) {
  Rope rope = make_rope(4, 10'000, true, {});
  for (const std::vector<float>& wrong : {std::vector<float>{1}, {1, 0}, {1, -1}, {1, NAN}, {1, INFINITY}}) {
    EXPECT_FALSE(apply_rope_factors(rope, wrong));
  }
  EXPECT_TRUE(apply_rope_factors(rope, std::vector<float>{1, 4}));
  EXPECT_DOUBLE_EQ(rope.frequencies[1], 0.01 / 4);
}

// ---- against libllama ----

struct Free {
  void operator()(gguf_context* g) const { gguf_free(g); }
  void operator()(ggml_context* c) const { ggml_free(c); }
};

// A file of its own, gone with the object.
struct TemporaryModel {
  std::string path;
  explicit TemporaryModel(const std::string& name)
      : path((std::filesystem::temp_directory_path() / fmt::format("skep-rope-{}-{}.gguf", getpid(), name)).string()) {}
  TemporaryModel(const TemporaryModel&) = delete;
  TemporaryModel& operator=(const TemporaryModel&) = delete;
  ~TemporaryModel() { std::filesystem::remove(path); }
};

using Factors = std::vector<std::pair<const char*, std::vector<float>>>;  // F32 tensors by name

// A copy of a model with other metadata and more tensors.
void rewrite(const std::string& from, const std::string& to, const std::function<void(gguf_context*)>& metadata,
             const Factors& factors) {
  ggml_context* data = nullptr;
  const std::unique_ptr<gguf_context, Free> file(gguf_init_from_file(from.c_str(), {.no_alloc = false, .ctx = &data}));
  const std::unique_ptr<ggml_context, Free> owner(data);
  ASSERT_NE(file, nullptr);
  const std::unique_ptr<gguf_context, Free> changed(gguf_init_empty());
  gguf_set_kv(changed.get(), file.get());
  metadata(changed.get());
  for (ggml_tensor* t = ggml_get_first_tensor(data); t != nullptr; t = ggml_get_next_tensor(data, t)) {
    if (gguf_find_tensor(file.get(), t->name) >= 0) gguf_add_tensor(changed.get(), t);
  }
  const std::unique_ptr<ggml_context, Free> more(
      ggml_init({.mem_size = 1 << 16, .mem_buffer = nullptr, .no_alloc = false}));
  for (const auto& [name, values] : factors) {
    ggml_tensor* t = ggml_new_tensor_1d(more.get(), GGML_TYPE_F32, static_cast<int64_t>(values.size()));
    ggml_set_name(t, name);
    std::copy(values.begin(), values.end(), static_cast<float*>(t->data));
    gguf_add_tensor(changed.get(), t);
  }
  ASSERT_TRUE(gguf_write_to_file(changed.get(), to.c_str(), false));
}

std::vector<float> factors_for(int pairs, float last) {  // from 1 to `last`
  std::vector<float> all;
  for (int i = 0; i < pairs; ++i) all.push_back(1 + (last - 1) * static_cast<float>(i) / static_cast<float>(pairs - 1));
  return all;
}

constexpr int kContext = 512, kTokens = 400;

std::vector<std::vector<float>> our_logits(const std::string& path, std::span<const Token> tokens) {
  NativeOptions options;
  options.path = path;
  options.context_tokens = options.cells = options.batch_tokens = options.output_rows = kContext;
  options.threads = 1;
  const auto f = NativeForward::create(options);
  if (!f) {
    ADD_FAILURE() << f.error().text();
    return {};
  }
  const Slice slice{0, 0, tokens, static_cast<int>(tokens.size())};
  EXPECT_TRUE((*f)->step({&slice, 1}));
  std::vector<std::vector<float>> rows;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto row = (*f)->logits(static_cast<int>(i));
    rows.emplace_back(row.begin(), row.end());
  }
  return rows;
}

struct Case {
  const char* name;
  const char* shape;
  std::function<void(gguf_context*)> metadata;
  Factors factors;
};

std::vector<Case> cases(int pairs) {
  const auto scaling = [](const char* architecture, const char* type, float factor, uint32_t original) {
    return [=](gguf_context* g) {
      const auto key = [&](const char* k) { return fmt::format("{}.rope.scaling.{}", architecture, k); };
      gguf_set_val_str(g, key("type").c_str(), type);
      if (factor > 0) gguf_set_val_f32(g, key("factor").c_str(), factor);
      if (original > 0) gguf_set_val_u32(g, key("original_context_length").c_str(), original);
    };
  };
  const auto magnitude = [=](gguf_context* g) {
    scaling("llama", "longrope", 0, 128)(g);
    gguf_set_val_f32(g, "llama.rope.scaling.attn_factor", 1.19F);
  };
  const auto both = [&](float of_short, float of_long) {
    return Factors{{"rope_factors_short.weight", factors_for(pairs, of_short)},
                   {"rope_factors_long.weight", factors_for(pairs, of_long)}};
  };
  return {
      {"plain", "tiny", [](gguf_context*) {}, {}},
      {"linear", "tiny", scaling("llama", "linear", 4, 0), {}},
      {"yarn", "tiny", scaling("llama", "yarn", 4, 128), {}},
      {"yarn in qwen2", "tiny-qwen2", scaling("qwen2", "yarn", 4, 128), {}},
      {"yarn in qwen3", "tiny-qwen3", scaling("qwen3", "yarn", 2.5F, 64), {}},
      {"llama 3.1", "tiny", [](gguf_context*) {}, {{"rope_freqs.weight", factors_for(pairs, 8)}}},
      {"longrope beyond the original context", "tiny", magnitude, both(1.5F, 30)},
      {"longrope within the original context", "tiny", scaling("llama", "longrope", 0, 4096), both(1.5F, 30)},
  };
}

TEST(Rope, AgreesWithLibllamaInEveryScaling) {
  std::mt19937 random(5);
  std::vector<Token> tokens;
  for (int i = 0; i < kTokens; ++i) tokens.push_back(static_cast<Token>(300 + random() % 700));
  std::vector<float> plain;
  for (const Case& c : cases(synth::find_shape("tiny")->head_width() / 2)) {
    SCOPED_TRACE(c.name);
    const TemporaryModel made("made"), changed("changed");
    synth::SynthOptions options;
    options.shape = *synth::find_shape(c.shape);
    options.type = synth::WeightType::f32;
    options.path = made.path;
    options.threads = 1;
    options.overwrite = true;
    ASSERT_TRUE(synth::synthesize(options));
    rewrite(made.path, changed.path, c.metadata, c.factors);
    Oracle oracle(changed.path, kContext);
    ASSERT_TRUE(oracle.loaded());
    const auto theirs = oracle.logits(tokens), ours = our_logits(changed.path, tokens);
    ASSERT_EQ(theirs.size(), tokens.size());
    ASSERT_EQ(ours.size(), tokens.size());
    double worst = 0;
    for (size_t i = 0; i < tokens.size(); ++i) worst = std::max(worst, relative_error(ours[i], theirs[i]));
    EXPECT_LT(worst, 0.004);  // as without scaling: only keys and values are rounded (native_forward_test.cc)
    // The comparison means something only if the scaling is felt.
    if (plain.empty()) {
      plain = ours.back();
    } else if (std::string_view(c.shape) == "tiny") {
      EXPECT_GT(relative_error(ours.back(), plain), 0.01);
    }
  }
}

}  // namespace
}  // namespace skep::engine::native
