#include "model_tools/adapter.h"

#include <gguf.h>
#include <gmock/gmock.h>
#include <llama.h>

#include <cmath>
#include <cstring>

#include "model_tools/gguf_writer.h"
#include "model_tools/llama_session.h"
#include "model_tools/testing.h"

namespace skep::model_tools {
namespace {

using ::testing::ElementsAre;

const std::vector<Token> kTokens = {5, 80, 300, 41, 7, 260};

class AdapterTest : public ToolTest {
 protected:
  // `base` with a change of rank `rank` in its feed-forward and query matrices.
  std::string tune(const std::string& base, int rank, float strength) {
    const auto input = GgufInput::open(base);
    EXPECT_TRUE(input);
    std::vector<OutputTensor> tensors;
    Random random(4);
    for (const auto& t : (*input)->file().tensors) {
      OutputTensor out = copy_of(**input, t);
      if (t.name.find("ffn_up") != t.name.npos || t.name.find("attn_q.") != t.name.npos) {
        const int64_t columns = t.extent[0], rows = t.extent[1];
        std::vector<float> u(static_cast<size_t>(rows * rank)), v(static_cast<size_t>(columns * rank));
        for (float& x : u) x = strength * static_cast<float>(random.normal());
        for (float& x : v) x = static_cast<float>(random.normal()) / std::sqrt(static_cast<float>(columns));
        out.rows = [&, u, v, columns, rank](int64_t first, int64_t count, char* bytes) -> Status {
          auto* values = reinterpret_cast<float*>(bytes);
          SKEP_CHECK((*input)->read_rows(t, first, count, values));
          for (int64_t r = 0; r < count; ++r) {
            for (int k = 0; k < rank; ++k) {
              for (int64_t c = 0; c < columns; ++c) {
                values[r * columns + c] +=
                    u[static_cast<size_t>((first + r) * rank + k)] * v[static_cast<size_t>(k * columns + c)];
              }
            }
          }
          return {};
        };
      }
      tensors.push_back(std::move(out));
    }
    auto metadata = metadata_of(**input);
    EXPECT_TRUE(write_gguf(at("tuned.gguf"), metadata->get(), tensors, true, "", {}));
    return at("tuned.gguf");
  }

  static std::vector<float> logits_of(const std::string& model, const std::string& adapter = {}) {
    const auto session = LlamaSession::open(model, {.context_tokens = 64, .threads = 1});
    EXPECT_TRUE(session) << session.error().text();
    llama_adapter_lora* lora = nullptr;
    if (!adapter.empty()) {
      lora = llama_adapter_lora_init((*session)->model(), adapter.c_str());
      EXPECT_NE(lora, nullptr);
      float scale = 1;
      EXPECT_EQ(llama_set_adapters_lora((*session)->context(), &lora, 1, &scale), 0);
    }
    EXPECT_TRUE((*session)->evaluate(kTokens, [](int i) { return i == 5; }));
    const auto logits = (*session)->logits(5);
    return {logits.begin(), logits.end()};
  }
  static double distance(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0, whole = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]), whole += a[i] * a[i];
    return std::sqrt(sum / whole);
  }
};

TEST_F(AdapterTest, ABasePlusItsAdapterIsTheTunedModelToLibllamaToo) {
  const std::string base = make_model("base.gguf", "tiny", synth::WeightType::f32);
  const std::string tuned = tune(base, 3, 0.4F);
  const auto made = extract_adapter({.base = base, .tuned = tuned, .output = at("a.gguf"), .rank = 4}, {});
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_EQ(made->matrices.size(), 4U);  // two layers, two matrices each
  EXPECT_NEAR(made->kept, 1, 1e-5);
  EXPECT_TRUE(made->left_out.empty());
  EXPECT_LT(made->bytes.count, static_cast<int64_t>(std::filesystem::file_size(base)) / 4);

  const auto want = logits_of(tuned);
  EXPECT_GT(distance(want, logits_of(base)), 0.05);
  EXPECT_LT(distance(want, logits_of(base, at("a.gguf"))), 1e-3);

  const auto merged = merge_adapter({.model = base, .adapter = at("a.gguf"), .output = at("merged.gguf")}, {});
  ASSERT_TRUE(merged) << merged.error().text();
  EXPECT_EQ(merged->matrices, 4);
  EXPECT_EQ(merged->rank, 4);
  EXPECT_LT(distance(want, logits_of(at("merged.gguf"))), 1e-3);
}

TEST_F(AdapterTest, TooLittleRankKeepsWhatItSays) {
  const std::string base = make_model("base.gguf", "tiny", synth::WeightType::f32);
  const auto made =
      extract_adapter({.base = base, .tuned = tune(base, 6, 0.4F), .output = at("a.gguf"), .rank = 2}, {});
  ASSERT_TRUE(made);
  EXPECT_GT(made->kept, 0.3);
  EXPECT_LT(made->kept, 0.8);
}

TEST_F(AdapterTest, AScaleOfZeroMergesNothingAndOfTwoTwice) {
  const std::string base = make_model("base.gguf", "tiny", synth::WeightType::f32);
  ASSERT_TRUE(extract_adapter({.base = base, .tuned = tune(base, 2, 0.4F), .output = at("a.gguf"), .rank = 2}, {}));
  ASSERT_TRUE(merge_adapter({.model = base, .adapter = at("a.gguf"), .output = at("none.gguf"), .scale = 0}, {}));
  EXPECT_LT(distance(logits_of(base), logits_of(at("none.gguf"))), 1e-6);
  ASSERT_TRUE(merge_adapter({.model = base, .adapter = at("a.gguf"), .output = at("twice.gguf"), .scale = 2}, {}));
  EXPECT_GT(distance(logits_of(at("tuned.gguf")), logits_of(at("twice.gguf"))), 0.05);
}

TEST_F(AdapterTest, AQuantizedModelStaysOfItsTypeUnlessAskedOtherwise) {
  const std::string base = make_model("base.gguf", "tiny", synth::WeightType::f32);
  ASSERT_TRUE(extract_adapter({.base = base, .tuned = tune(base, 2, 0.4F), .output = at("a.gguf"), .rank = 2}, {}));
  const std::string small = make_model("q8.gguf", "tiny", synth::WeightType::q8_0);
  ASSERT_TRUE(merge_adapter({.model = small, .adapter = at("a.gguf"), .output = at("m.gguf")}, {}));
  const auto merged = GgufInput::open(at("m.gguf"));
  EXPECT_EQ((*merged)->find("blk.0.ffn_up.weight")->type, static_cast<uint32_t>(GGML_TYPE_Q8_0));
  EXPECT_LT(distance(logits_of(at("tuned.gguf")), logits_of(at("m.gguf"))), 0.05);
  ASSERT_TRUE(
      merge_adapter({.model = small, .adapter = at("a.gguf"), .output = at("f16.gguf"), .type = GGML_TYPE_F16}, {}));
  EXPECT_EQ((*GgufInput::open(at("f16.gguf")))->find("blk.0.ffn_up.weight")->type,
            static_cast<uint32_t>(GGML_TYPE_F16));
}

TEST_F(AdapterTest, WhatDoesNotBelongTogetherIsRefused) {
  const std::string base = make_model("base.gguf", "tiny", synth::WeightType::f32);
  const std::string wide = make_model("wide.gguf", "tiny-wide", synth::WeightType::f32);
  const auto code = [](const auto& result) { return result ? ErrorCode::internal : result.error().code; };
  EXPECT_EQ(code(extract_adapter({.base = base, .tuned = wide, .output = at("a.gguf")}, {})),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code(extract_adapter({.base = base, .tuned = base, .output = at("a.gguf")}, {})),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code(merge_adapter({.model = base, .adapter = wide, .output = at("m.gguf")}, {})),
            ErrorCode::invalid_argument);
  ASSERT_TRUE(extract_adapter({.base = base, .tuned = tune(base, 2, 0.4F), .output = at("a.gguf")}, {}));
  EXPECT_EQ(code(merge_adapter({.model = wide, .adapter = at("a.gguf"), .output = at("m.gguf")}, {})),
            ErrorCode::invalid_argument);
  EXPECT_EQ(files().size(), 4U);  // base, wide, tuned, the adapter: no half file
}

}  // namespace
}  // namespace skep::model_tools
