#include "engine/synth/synth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "engine/synth/tensors.h"
#include "gguf.h"
#include "llama.h"

namespace skep::synth {
namespace {

namespace fs = std::filesystem;

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Synth : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "skep_synth_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(folder_); }

  SynthOptions options(const char* shape, WeightType type = WeightType::q8_0) {
    return {.shape = *find_shape(shape), .type = type, .path = (folder_ / (std::string(shape) + ".gguf")).string()};
  }

  fs::path folder_;
};

// A model file as libllama sees it, opened with a context of its own.
class Loaded {
 public:
  explicit Loaded(const std::string& path, bool embeddings = false) {
    static const bool once = [] {
      llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
      if (*SKEP_GGML_BACKENDS != 0) {
        ggml_backend_load_all_from_path(SKEP_GGML_BACKENDS);
      } else {
        ggml_backend_load_all();
      }
      return true;
    }();
    (void)once;
    model_.reset(llama_model_load_from_file(path.c_str(), llama_model_default_params()));
    if (!model_) return;
    llama_context_params params = llama_context_default_params();
    params.n_ctx = 256;
    params.n_threads = params.n_threads_batch = 1;
    params.embeddings = embeddings;
    context_.reset(llama_init_from_model(model_.get(), params));
  }
  explicit operator bool() const { return model_ && context_; }
  [[nodiscard]] llama_model* model() const { return model_.get(); }
  [[nodiscard]] llama_context* context() const { return context_.get(); }
  [[nodiscard]] const llama_vocab* vocab() const { return llama_model_get_vocab(model_.get()); }

  [[nodiscard]] std::vector<llama_token> tokenize(const std::string& text, bool special = false) const {
    std::vector<llama_token> tokens(text.size() + 8);
    tokens.resize(static_cast<size_t>(llama_tokenize(vocab(), text.data(), static_cast<int>(text.size()), tokens.data(),
                                                     static_cast<int>(tokens.size()), false, special)));
    return tokens;
  }
  [[nodiscard]] std::string text(const std::vector<llama_token>& tokens) const {
    std::string out(tokens.size() * 64, '\0');
    out.resize(static_cast<size_t>(llama_detokenize(vocab(), tokens.data(), static_cast<int>(tokens.size()), out.data(),
                                                    static_cast<int>(out.size()), false, true)));
    return out;
  }

 private:
  struct Delete {
    void operator()(llama_model* m) const { llama_model_free(m); }
    void operator()(llama_context* c) const { llama_free(c); }
  };
  std::unique_ptr<llama_model, Delete> model_;
  std::unique_ptr<llama_context, Delete> context_;
};

TEST_F(Synth, MakesFilesOfEveryTypeThatLibllamaRunsWithSaneLogits) {
  for (WeightType type : weight_types()) {
    SynthOptions o = options("tiny-wide", type);
    o.overwrite = true;
    ASSERT_TRUE(synthesize(o)) << to_string(type);
    Loaded loaded(o.path);
    ASSERT_TRUE(loaded) << to_string(type);
    auto tokens = loaded.tokenize("The quick brown fox reads the error log.");
    ASSERT_EQ(llama_decode(loaded.context(), llama_batch_get_one(tokens.data(), static_cast<int>(tokens.size()))), 0);
    const float* logits = llama_get_logits_ith(loaded.context(), -1);
    double sum = 0, squares = 0;
    for (int i = 0; i < o.shape.vocabulary; ++i) {
      ASSERT_TRUE(std::isfinite(logits[i])) << to_string(type);
      sum += logits[i], squares += logits[i] * logits[i];
    }
    const double n = o.shape.vocabulary;
    const double deviation = std::sqrt(squares / n - sum * sum / n / n);
    EXPECT_NEAR(deviation, 2.0, 0.4) << to_string(type);
  }
}

TEST_F(Synth, MakesEveryTinyArchitectureLoadable) {
  for (const char* shape : {"tiny", "tiny-qwen2", "tiny-qwen3"}) {
    const SynthOptions o = options(shape);
    ASSERT_TRUE(synthesize(o));
    Loaded loaded(o.path);
    ASSERT_TRUE(loaded) << shape;
    EXPECT_EQ(llama_model_n_params(loaded.model()), static_cast<uint64_t>(size_of(o.shape, o.type).parameters));
    EXPECT_LT(fs::file_size(o.path), 1 << 20);
  }
}

TEST_F(Synth, MakesAnEncoderWhosePooledEmbeddingIsFinite) {
  const SynthOptions o = options("tiny-embed", WeightType::f16);
  ASSERT_TRUE(synthesize(o));
  Loaded loaded(o.path, /*embeddings=*/true);
  ASSERT_TRUE(loaded);
  auto tokens = loaded.tokenize("pump 3 vibrates");
  ASSERT_EQ(llama_encode(loaded.context(), llama_batch_get_one(tokens.data(), static_cast<int>(tokens.size()))), 0);
  const float* embedding = llama_get_embeddings_seq(loaded.context(), 0);
  ASSERT_NE(embedding, nullptr);
  double norm = 0;
  for (int i = 0; i < o.shape.embedding; ++i) norm += embedding[i] * embedding[i];
  EXPECT_TRUE(std::isfinite(norm));
  EXPECT_GT(norm, 0.1);
}

TEST_F(Synth, TokenizesProseAtAboutFourCharactersATokenAndBack) {
  SynthOptions o = options("tiny");
  o.shape.vocabulary = 49152;
  ASSERT_TRUE(synthesize(o));
  Loaded loaded(o.path);
  ASSERT_TRUE(loaded);
  const std::string prose =
      "Our night shift found that conveyor 7 stalls whenever the humidity rises. Please compare the vibration of both "
      "bearings with last month's, and say whether the maintenance window on Friday is early enough.";
  const std::string data =
      "2026-04-02T11:05:17Z WARN [plc] torque limit reached axis=2 value=18.4\n{\"axis\": 2, \"torque\": 18.4}";
  const auto characters_a_token = [&](const std::string& text) {
    const auto tokens = loaded.tokenize(text);
    EXPECT_EQ(loaded.text(tokens), text);
    return static_cast<double>(text.size()) / static_cast<double>(tokens.size());
  };
  EXPECT_GT(characters_a_token(prose), 3.5);
  EXPECT_LT(characters_a_token(prose), 5);
  EXPECT_GT(characters_a_token(data), 1.5);  // every digit is a token of its own
  const std::string foreign = "Grüße, 世界 🐝\x01";
  EXPECT_EQ(loaded.text(loaded.tokenize(foreign)), foreign);
}

TEST_F(Synth, HasControlTokensAndAChatTemplateThatLibllamaKnows) {
  const SynthOptions o = options("tiny");
  ASSERT_TRUE(synthesize(o));
  Loaded loaded(o.path);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded.tokenize("<|im_start|>", true).size(), 1U);
  EXPECT_TRUE(llama_vocab_is_eog(loaded.vocab(), loaded.tokenize("<|im_end|>", true)[0]));
  EXPECT_TRUE(llama_vocab_is_eog(loaded.vocab(), loaded.tokenize("<|endoftext|>", true)[0]));
  const llama_chat_message message{"user", "Hello"};
  std::string prompt(256, '\0');
  const int length = llama_chat_apply_template(llama_model_chat_template(loaded.model(), nullptr), &message, 1, true,
                                               prompt.data(), static_cast<int>(prompt.size()));
  ASSERT_GT(length, 0);
  prompt.resize(static_cast<size_t>(length));
  EXPECT_EQ(prompt, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(Synth, GivesTheSameBytesWhateverTheThreadsAndOthersForAnotherSeed) {
  SynthOptions one = options("tiny-wide", WeightType::q4_k_m), four = one, other = one;
  one.threads = 1;
  four.threads = 4, four.path += ".4";
  other.seed = 2, other.path += ".2";
  ASSERT_TRUE(synthesize(one) && synthesize(four) && synthesize(other));
  EXPECT_EQ(contents(one.path), contents(four.path));
  EXPECT_NE(contents(one.path), contents(other.path));
}

TEST_F(Synth, RunsWithTensorsMadeFromBlockPools) {
  SynthOptions o = options("tiny-wide", WeightType::q4_k_m);
  o.shape.vocabulary = 8192;  // an embedding matrix of two pools' size
  ASSERT_TRUE(synthesize(o));
  Loaded loaded(o.path);
  ASSERT_TRUE(loaded);
  auto tokens = loaded.tokenize("The quick brown fox");
  ASSERT_EQ(llama_decode(loaded.context(), llama_batch_get_one(tokens.data(), static_cast<int>(tokens.size()))), 0);
  const float* logits = llama_get_logits_ith(loaded.context(), -1);
  double squares = 0;
  for (int i = 0; i < o.shape.vocabulary; ++i) squares += logits[i] * logits[i];
  EXPECT_NEAR(std::sqrt(squares / o.shape.vocabulary), 2.0, 0.4);
}

TEST_F(Synth, ReportsProgressUpToTheSizeItForetold) {
  const SynthOptions o = options("tiny-wide", WeightType::q4_0);
  Progress last;
  ASSERT_TRUE(synthesize(o, [&](const Progress& p) {
    EXPECT_GE(p.written, last.written);
    last = p;
    return true;
  }));
  EXPECT_EQ(last.written, last.total);
  EXPECT_EQ(last.total, size_of(o.shape, o.type).tensors);
  EXPECT_GT(Bytes(static_cast<int64_t>(fs::file_size(o.path))), last.total);
}

TEST_F(Synth, LeavesNothingBehindWhenStopped) {
  const auto stopped = synthesize(options("tiny"), [](const Progress&) { return false; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(Synth, RefusesToReplaceAFileUnlessTold) {
  SynthOptions o = options("tiny");
  std::ofstream(o.path) << "mine";
  EXPECT_EQ(synthesize(o).error().code, ErrorCode::conflict);
  EXPECT_EQ(contents(o.path), "mine");
  o.overwrite = true;
  EXPECT_TRUE(synthesize(o));
  EXPECT_EQ(contents(o.path).substr(0, 4), "GGUF");
}

TEST_F(Synth, NamesTheFolderThatIsNotThere) {
  SynthOptions o = options("tiny");
  o.path = (folder_ / "no" / "such.gguf").string();
  const auto status = synthesize(o);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io);
  EXPECT_NE(status.error().message.find("no/such.gguf"), std::string::npos);
}

TEST(Shapes, AreAllValidAndNamedOnce) {
  std::map<std::string, int> names;
  for (const Shape& s : shapes()) {
    EXPECT_TRUE(check(s)) << s.name;
    EXPECT_EQ(names[s.name]++, 0) << s.name;
  }
}

// Parameter counts as published for each model.
TEST(Shapes, HaveTheParametersOfTheModelsTheyAreLike) {
  const std::map<std::string, double> published{{"smollm-135m", 134.5e6},     {"tinyllama", 1100e6},
                                                {"qwen2.5-coder-7b", 7.62e9}, {"llama-8b", 8.03e9},
                                                {"qwen3-0.6b", 0.596e9},      {"qwen2.5-0.5b", 0.494e9}};
  for (const auto& [name, count] : published) {
    ASSERT_NE(find_shape(name), nullptr) << name;
    const auto ours = static_cast<double>(size_of(*find_shape(name), WeightType::q4_0).parameters);
    EXPECT_NEAR(ours / count, 1, 0.005) << name;
  }
}

TEST(Shapes, ThatCouldNotLoadAreRefusedWithTheReason) {
  Shape s = *find_shape("tiny");
  s.kv_heads = 3;
  EXPECT_NE(check(s).error().message.find("kv_heads"), std::string::npos);
  s = *find_shape("tiny");
  s.embedding = 100;
  EXPECT_FALSE(check(s));
  s = *find_shape("tiny");
  s.vocabulary = 3;
  EXPECT_FALSE(check(s));
}

TEST(WeightTypes, AreReadInAnyCaseAndShortForm) {
  EXPECT_EQ(weight_type_from("q4_k_m"), WeightType::q4_k_m);
  EXPECT_EQ(weight_type_from("Q4_K"), WeightType::q4_k_m);
  EXPECT_EQ(weight_type_from("bf16"), WeightType::bf16);
  EXPECT_EQ(weight_type_from("q9"), std::nullopt);
  for (WeightType type : weight_types()) EXPECT_EQ(weight_type_from(to_string(type)), type);
}

TEST(Tensors, ThatAreSensitiveHaveMoreBitsInAMix) {
  std::map<std::string, ggml_type> types;
  for (const Tensor& t : tensors_of(*find_shape("llama-8b"), WeightType::q4_k_m)) types[t.name] = t.type;
  EXPECT_EQ(types["output.weight"], GGML_TYPE_Q6_K);
  EXPECT_EQ(types["token_embd.weight"], GGML_TYPE_Q4_K);
  EXPECT_EQ(types["blk.0.ffn_down.weight"], GGML_TYPE_Q6_K);
  EXPECT_EQ(types["blk.4.ffn_down.weight"], GGML_TYPE_Q4_K);
  EXPECT_EQ(types["blk.0.attn_norm.weight"], GGML_TYPE_F32);
}

TEST(Tensors, FallBackToBlocksOf32WhereRowsAreNoMultipleOf256) {
  for (const Tensor& t : tensors_of(*find_shape("smollm-135m"), WeightType::q4_k_m)) {
    EXPECT_EQ(t.columns % ggml_blck_size(t.type), 0) << t.name;
  }
}

TEST(Tensors, AreDrawnWithTheMeanAndDeviationTheyState) {
  const Tensor t{.name = "t", .columns = 1000, .rows = 100, .mean = 0.5F, .deviation = 2};
  std::vector<float> scratch(100'000), drawn(100'000);
  draw_rows(t, 7, 0, 0, 100, scratch.data(), drawn.data());
  double sum = 0, squares = 0;
  for (float v : drawn) sum += v, squares += v * v;
  // Four standard errors: deviation/√n of the mean, deviation/√(2n) of the deviation.
  EXPECT_NEAR(sum / 1e5, 0.5, 4 * 2 / std::sqrt(1e5));
  EXPECT_NEAR(std::sqrt(squares / 1e5 - sum * sum / 1e10), 2.0, 4 * 2 / std::sqrt(2e5));
}

TEST(BlockPool, GivesRowsOfTheRightSizeAndSpread) {
  const Tensor t{.name = "t", .columns = 512, .rows = 4096, .type = GGML_TYPE_Q6_K, .deviation = 0.25F};
  ASSERT_TRUE(BlockPool::suits(t));
  const BlockPool pool(t, 7);
  std::vector<char> stored(ggml_row_size(t.type, t.columns) * 100), again(stored.size()), other(stored.size());
  pool.draw_rows(t, 7, 3, 0, 100, stored.data());
  pool.draw_rows(t, 7, 3, 0, 100, again.data());
  pool.draw_rows(t, 7, 4, 0, 100, other.data());
  EXPECT_EQ(stored, again);
  EXPECT_NE(stored, other);
  std::vector<float> values(512 * 100);
  ggml_get_type_traits(t.type)->to_float(stored.data(), values.data(), static_cast<int64_t>(values.size()));
  double squares = 0;
  for (float v : values) squares += v * v;
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(values.size())), 0.25, 0.01);
}

TEST(BlockPool, IsForLargeTensorsOfKTypesOnly) {
  EXPECT_FALSE(BlockPool::suits({.columns = 512, .rows = 100, .type = GGML_TYPE_Q6_K}));
  EXPECT_FALSE(BlockPool::suits({.columns = 512, .rows = 100'000, .type = GGML_TYPE_Q4_0}));
}

}  // namespace
}  // namespace skep::synth
