#include "model_tools/widen.h"

#include <gmock/gmock.h>

#include "model_tools/llama_session.h"
#include "model_tools/testing.h"

namespace skep::model_tools {
namespace {

using ::testing::HasSubstr;

class WidenTest : public ToolTest {
 protected:
  static constexpr const char* kDeep = SKEP_DEMO_MODELS "/deep.gguf";

  [[nodiscard]] WidenOptions options(const std::string& type) const {
    return {.input = kDeep,
            .output = at("wide.gguf"),
            .embedding = 256,
            .feed_forward = 512,
            .layers = 9,
            .heads = 12,
            .kv_heads = 4,
            .type = type};
  }
  static std::vector<float> logits_of(const std::string& model) {
    const auto session = LlamaSession::open(model, {.context_tokens = 64, .threads = 1});
    EXPECT_TRUE(session) << session.error().text();
    const std::vector<Token> tokens = {5, 80, 300, 41, 7, 260, 19, 33};
    EXPECT_TRUE((*session)->evaluate(tokens, [](int i) { return i == 7; }));
    const auto logits = (*session)->logits(7);
    return {logits.begin(), logits.end()};
  }
};

TEST_F(WidenTest, AWiderAndDeeperModelSaysTheSame) {
  ASSERT_TRUE(widen(options("Q8_0"), {}));
  const auto small = logits_of(kDeep), wide = logits_of(at("wide.gguf"));
  ASSERT_EQ(small.size(), wide.size());
  float largest = 0;
  for (const float x : small) largest = std::max(largest, std::abs(x));
  // The same weights in the same blocks; activations are quantized in the same blocks, too.
  for (size_t i = 0; i < small.size(); ++i) ASSERT_NEAR(small[i], wide[i], 1e-2F * largest) << i;
}

TEST_F(WidenTest, AShapeThatIsTooSmallIsRefused) {
  WidenOptions narrow = options("Q4_0");
  narrow.embedding = 64;
  const Status refused = widen(narrow, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(refused.error().text(), HasSubstr("96 wide"));
  narrow = options("Q5_K");
  EXPECT_EQ(widen(narrow, {}).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace skep::model_tools
