#include "model_tools/prune.h"

#include <gguf.h>
#include <gmock/gmock.h>

#include "model_tools/gguf_writer.h"
#include "model_tools/influence.h"
#include "model_tools/llama_session.h"
#include "model_tools/testing.h"

namespace skep::model_tools {
namespace {

using ::testing::ElementsAre;

class PruneTest : public ToolTest {
 protected:
  // A copy of `from` whose layer `layer` adds nothing to the residual stream.
  std::string silence(const std::string& from, int layer) {
    const auto input = GgufInput::open(from);
    EXPECT_TRUE(input);
    std::vector<OutputTensor> tensors;
    for (const auto& t : (*input)->file().tensors) {
      OutputTensor out = copy_of(**input, t);
      if (t.name == fmt::format("blk.{}.attn_output.weight", layer) ||
          t.name == fmt::format("blk.{}.ffn_down.weight", layer)) {
        out.rows = [row = t.bytes / (t.elements() / t.extent[0])](int64_t, int64_t count, char* bytes) {
          std::fill_n(bytes, count * row, 0);
          return Status();
        };
      }
      tensors.push_back(std::move(out));
    }
    auto metadata = metadata_of(**input);
    EXPECT_TRUE(write_gguf(at("silent.gguf"), metadata->get(), tensors, true, "", {}));
    return at("silent.gguf");
  }
  static std::vector<float> logits_of(const std::string& model) {
    const auto session = LlamaSession::open(model, {.context_tokens = 64, .threads = 1});
    EXPECT_TRUE(session) << session.error().text();
    const std::vector<Token> tokens = {5, 80, 300, 41, 7, 260};
    EXPECT_TRUE((*session)->evaluate(tokens, [](int i) { return i == 5; }));
    const auto logits = (*session)->logits(5);
    return {logits.begin(), logits.end()};
  }
};

TEST_F(PruneTest, ALayerThatDoesNothingHasNoInfluenceAndIsNotMissed) {
  const std::string model = silence(make_model("m.gguf", "tiny", synth::WeightType::f32, 4), 2);
  const auto influence = measure_influence(model, sample_text(600), {.context_tokens = 64, .threads = 1}, {});
  ASSERT_TRUE(influence) << influence.error().text();
  ASSERT_EQ(influence->size(), 4U);
  EXPECT_NEAR((*influence)[2], 0, 1e-5);
  for (const size_t other : {0, 1, 3}) EXPECT_GT((*influence)[other], 0.01);
  EXPECT_THAT(least_influential(*influence, 1), ElementsAre(2));

  const auto report = prune({.input = model, .output = at("out.gguf"), .layers = {2}}, {});
  ASSERT_TRUE(report) << report.error().text();
  EXPECT_EQ(report->layers_after, 3);
  EXPECT_LT(report->after, report->before);
  const auto before = logits_of(model), after = logits_of(at("out.gguf"));
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) ASSERT_NEAR(before[i], after[i], 1e-4);
}

TEST_F(PruneTest, TheLayersThatStayAreRenumberedAndTheirBytesUntouched) {
  const std::string model = make_model("m.gguf", "tiny", synth::WeightType::q8_0, 5);
  ASSERT_TRUE(prune({.input = model, .output = at("out.gguf"), .layers = {3, 1}}, {}));
  const auto before = GgufInput::open(model), after = GgufInput::open(at("out.gguf"));
  ASSERT_TRUE(before && after);
  EXPECT_EQ((*after)->number("block_count"), 3);
  const int from[] = {0, 2, 4};
  for (int layer = 0; layer < 3; ++layer) {
    const auto* a = (*before)->find(fmt::format("blk.{}.ffn_up.weight", from[layer]));
    const auto* b = (*after)->find(fmt::format("blk.{}.ffn_up.weight", layer));
    ASSERT_TRUE(a != nullptr && b != nullptr);
    std::string x(static_cast<size_t>(a->bytes), 0), y = x;
    ASSERT_TRUE((*before)->read(*a, 0, x.data(), x.size()));
    ASSERT_TRUE((*after)->read(*b, 0, y.data(), y.size()));
    EXPECT_EQ(x, y);
  }
  EXPECT_EQ((*after)->find("blk.3.ffn_up.weight"), nullptr);
  EXPECT_EQ((*before)->file().tensors.size() - (*after)->file().tensors.size(), 2 * 9U);
}

TEST_F(PruneTest, ValuesGivenPerLayerGoWithTheirLayer) {
  const std::string model = make_model("m.gguf", "tiny", synth::WeightType::f16, 4);
  const auto input = GgufInput::open(model);
  auto metadata = metadata_of(**input);
  const int32_t heads[] = {1, 2, 3, 4};
  gguf_set_arr_data(metadata->get(), "llama.attention.head_count_kv", GGUF_TYPE_INT32, heads, 4);
  std::vector<OutputTensor> tensors;
  for (const auto& t : (*input)->file().tensors) tensors.push_back(copy_of(**input, t));
  ASSERT_TRUE(write_gguf(at("per-layer.gguf"), metadata->get(), tensors, false, "", {}));
  ASSERT_TRUE(prune({.input = at("per-layer.gguf"), .output = at("out.gguf"), .layers = {1}}, {}));
  const auto after = model::read_gguf(at("out.gguf"));
  const auto* kept = after->array("llama.attention.head_count_kv");
  ASSERT_NE(kept, nullptr);
  EXPECT_THAT(kept->first,
              ElementsAre(model::GgufScalar(int64_t{1}), model::GgufScalar(int64_t{3}), model::GgufScalar(int64_t{4})));
}

TEST_F(PruneTest, LayersThatThereAreNotAndAllLayersAreRefused) {
  const std::string model = make_model("m.gguf");
  for (const std::vector<int>& layers : {std::vector<int>{}, {7}, {-1}, {0, 1}}) {
    const auto refused = prune({.input = model, .output = at("out.gguf"), .layers = layers}, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_THAT(files(), ElementsAre("m.gguf"));
}

TEST(LeastInfluential, KeepsAtLeastOneLayerAndTheOrderOfTheRest) {
  EXPECT_THAT(least_influential({0.5, 0.1, 0.4, 0.2}, 2), ElementsAre(1, 3));
  EXPECT_THAT(least_influential({0.5, 0.1}, 9), ElementsAre(1));
}

}  // namespace
}  // namespace skep::model_tools
