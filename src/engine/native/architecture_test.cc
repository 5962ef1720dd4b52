#include "engine/native/architecture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/native/native_forward.h"

namespace skep::engine::native {
namespace {

// A header by hand: a llama of two layers in F32, as small as it may be.
struct HeaderBuilder {
  explicit HeaderBuilder(const std::string& architecture = "llama") {
    h.texts["general.architecture"] = architecture;
    const auto set = [&](const char* key, double n) { h.numbers[architecture + "." + key] = n; };
    set("block_count", 2);
    set("embedding_length", 64);
    set("feed_forward_length", 96);
    set("attention.head_count", 4);
    set("attention.head_count_kv", 2);
    set("context_length", 128);
    set("attention.layer_norm_rms_epsilon", 1e-5);
    h.file_size = 4096;
    add("token_embd.weight", 64, 512);
    add("output_norm.weight", 64);
    for (int i = 0; i < 2; ++i) {
      const auto name = [&](const char* part) { return fmt::format("blk.{}.{}.weight", i, part); };
      add(name("attn_norm"), 64);
      add(name("ffn_norm"), 64);
      add(name("attn_q"), 64, 64);
      add(name("attn_k"), 64, 32);
      add(name("attn_v"), 64, 32);
      add(name("attn_output"), 64, 64);
      add(name("ffn_gate"), 64, 96);
      add(name("ffn_up"), 64, 96);
      add(name("ffn_down"), 96, 64);
    }
  }
  void add(const std::string& name, int64_t columns, int64_t rows = 1, uint32_t type = 0) {
    h.tensors.push_back({name, type, {columns, rows, 1, 1}, h.file_size, 4 * columns * rows});
    h.file_size += 4 * columns * rows;
  }
  TensorInfo& tensor(const std::string& name) {
    for (TensorInfo& t : h.tensors) {
      if (t.name == name) return t;
    }
    ADD_FAILURE() << name;
    return h.tensors[0];
  }
  ModelHeader h;
};

ErrorCode code_of(const ModelHeader& header) {
  const auto described = describe(header);
  return described ? ErrorCode::internal : described.error().code;
}

TEST(Architecture, IsReadFromTheHeader) {
  const auto a = describe(HeaderBuilder().h);
  ASSERT_TRUE(a) << a.error().text();
  EXPECT_EQ(a->layers.size(), 2U);
  EXPECT_EQ(a->head_size, 16);
  EXPECT_EQ(a->group(), 2);
  EXPECT_TRUE(a->tied);
  EXPECT_FALSE(a->rope.halves);
  EXPECT_EQ(a->rope.frequencies.size(), 8U);
  EXPECT_DOUBLE_EQ(a->rope.frequencies[4], 0.01);
}

TEST(Architecture, DividesFrequenciesByALinearScalingFactor) {
  HeaderBuilder b;
  b.h.texts["llama.rope.scaling.type"] = "linear";
  b.h.numbers["llama.rope.scaling.factor"] = 4;
  EXPECT_DOUBLE_EQ(describe(b.h)->rope.frequencies[0], 0.25);
}

TEST(Architecture, SaysWhyAModelIsLibllamas) {
  EXPECT_EQ(code_of(HeaderBuilder("gemma2").h), ErrorCode::unsupported);
  const auto with = [](auto&& change) {
    HeaderBuilder b;
    change(b);
    return code_of(b.h);
  };
  EXPECT_EQ(with([](HeaderBuilder& b) { b.h.numbers["llama.expert_count"] = 8; }), ErrorCode::unsupported);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.h.texts["llama.rope.scaling.type"] = "su"; }), ErrorCode::unsupported);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.h.numbers["llama.rope.scaling.yarn_beta_fast"] = 16; }),
            ErrorCode::unsupported);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.tensor("blk.0.attn_q.weight").type = 10; }), ErrorCode::unsupported);  // Q2_K
  EXPECT_EQ(with([](HeaderBuilder& b) { b.add("blk.0.attn_sinks.weight", 4); }), ErrorCode::unsupported);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.h.arrays["llama.attention.head_count_kv"] = 2; }), ErrorCode::unsupported);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.h.numbers["llama.attention.sliding_window"] = 64; }), ErrorCode::unsupported);
}

TEST(Architecture, RefusesHeadersThatContradictThemselves) {
  const auto with = [](auto&& change) {
    HeaderBuilder b;
    change(b);
    return code_of(b.h);
  };
  const auto number = [&](const char* key, double n) {
    return with([&](HeaderBuilder& b) { b.h.numbers[std::string("llama.") + key] = n; });
  };
  EXPECT_EQ(number("block_count", 0), ErrorCode::corrupt);
  EXPECT_EQ(number("block_count", 1e18), ErrorCode::corrupt);
  EXPECT_EQ(number("block_count", 3), ErrorCode::corrupt);  // its tensors are missing
  EXPECT_EQ(number("embedding_length", 128), ErrorCode::corrupt);
  EXPECT_EQ(number("attention.head_count", -4), ErrorCode::corrupt);
  EXPECT_EQ(number("attention.head_count", 3), ErrorCode::corrupt);
  EXPECT_EQ(number("attention.head_count_kv", 0), ErrorCode::corrupt);
  EXPECT_EQ(number("attention.layer_norm_rms_epsilon", 0), ErrorCode::corrupt);
  EXPECT_EQ(number("rope.dimension_count", 17), ErrorCode::corrupt);
  EXPECT_EQ(number("rope.freq_base", -1), ErrorCode::corrupt);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.tensor("blk.1.ffn_down.weight").extent[0] = 1 << 30; }), ErrorCode::corrupt);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.tensor("blk.1.ffn_down.weight").offset = INT64_MAX - 8; }),
            ErrorCode::corrupt);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.tensor("blk.1.ffn_down.weight").offset = -64; }), ErrorCode::corrupt);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.h.file_size -= 4; }), ErrorCode::corrupt);
  EXPECT_EQ(with([](HeaderBuilder& b) { b.tensor("token_embd.weight").extent[1] = int64_t{1} << 40; }),
            ErrorCode::corrupt);
}

TEST(Architecture, LeavesGpusAndEmbeddingsToLibllama) {
  const ModelHeader h = HeaderBuilder().h;
  LoadOptions options;
  EXPECT_TRUE(supports(h, options));
  options.gpu_layers = -1;
  EXPECT_FALSE(supports(h, options));
  options.gpu_layers = 0;
  options.embeddings = true;
  EXPECT_FALSE(supports(h, options));
  options.embeddings = false;
  options.kv_type = "q4_0";
  EXPECT_FALSE(supports(h, options));
  options.kv_type = "q8_0";
  EXPECT_TRUE(supports(h, options));
}

}  // namespace
}  // namespace skep::engine::native
