#include "model_tools/perplexity.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdio>

#include "model_tools/testing.h"

namespace skep::model_tools {
namespace {

using PerplexityTest = ToolTest;

TEST_F(PerplexityTest, ALogProbabilityIsThatOfTheSoftmax) {
  const std::vector<float> logits = {1, 2, 3};
  const double sum = std::exp(1) + std::exp(2) + std::exp(3);
  EXPECT_NEAR(log_probability(logits, 1), 2 - std::log(sum), 1e-6);
  const std::vector<float> huge = {1000, 0};
  EXPECT_NEAR(log_probability(huge, 0), 0, 1e-9);  // no overflow
}

TEST_F(PerplexityTest, AgreesWithLlamaPerplexity) {
  const std::string tool = std::string(SKEP_LLAMA_TOOLS) + "/llama-perplexity";
  if (!std::filesystem::exists(tool)) GTEST_SKIP() << "no llama-perplexity";
  const std::string model = make_model("m.gguf");
  const std::string text = sample_text(4000);
  write(at("text"), text);
  const auto session = LlamaSession::open(model, {.context_tokens = 256, .batch_tokens = 256, .threads = 1});
  ASSERT_TRUE(session) << session.error().text();
  // It prints a running estimate, "[1]83.1,[2]80.9,…", and ends without waiting for its log: the last lines may be
  // lost.
  FILE* pipe = ::popen(fmt::format("{} -m {} -f {} -c 256 -b 256 -t 1 2>&1 | grep -o '\\[[0-9]*\\][0-9.]*,' | tail -1",
                                   tool, model, at("text"))
                           .c_str(),
                       "r");
  int windows = 0;
  double theirs = 0;
  ASSERT_EQ(std::fscanf(pipe, "[%d]%lf", &windows, &theirs), 2);
  ::pclose(pipe);
  ASSERT_GE(windows, 2);
  const auto ours = perplexity(**session, text, windows, {});
  ASSERT_TRUE(ours) << ours.error().text();
  EXPECT_EQ(ours->windows, windows);
  EXPECT_NEAR(ours->value, theirs, theirs * 2e-3);
  EXPECT_GT(ours->error, 0);
}

TEST_F(PerplexityTest, ATextThatIsTooShortIsRefused) {
  const auto session = LlamaSession::open(make_model("m.gguf"), {.context_tokens = 128, .threads = 1});
  ASSERT_TRUE(session);
  const auto refused = perplexity(**session, "only a few words", 0, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
}

TEST_F(PerplexityTest, TheFirstWindowsAloneCanBeMeasured) {
  const auto session = LlamaSession::open(make_model("m.gguf"), {.context_tokens = 64, .threads = 1});
  ASSERT_TRUE(session);
  const auto some = perplexity(**session, sample_text(2000), 3, {});
  ASSERT_TRUE(some);
  EXPECT_EQ(some->windows, 3);
  EXPECT_EQ(some->tokens, 3 * 31);
}

}  // namespace
}  // namespace skep::model_tools
