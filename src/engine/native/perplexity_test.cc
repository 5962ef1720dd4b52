// How well a model predicts a text, by libllama and by our own forward pass: equal to 0.1 % beyond chance, and the same
// most likely token wherever libllama's margin is larger than what rounding activations can move. On random weights in
// several types, and on every trained model that lies in models/.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/native/native_forward.h"
#include "engine/native/oracle.h"
#include "engine/synth/synth.h"

namespace skep::engine::native {
namespace {

constexpr int kTokens = 384;

// -log p(next) of a row of logits.
double surprise(std::span<const float> logits, Token next) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float x : logits) total += std::exp(x - most);
  return std::log(total) + most - logits[static_cast<size_t>(next)];
}

// The two largest.
struct Top {
  Token token = 0;
  double margin = 0;  // to the second
};
Top top_of(std::span<const float> logits) {
  const auto first = std::max_element(logits.begin(), logits.end());
  float second = -INFINITY;
  for (auto it = logits.begin(); it != logits.end(); ++it) {
    if (it != first) second = std::max(second, *it);
  }
  return {static_cast<Token>(first - logits.begin()), static_cast<double>(*first) - second};
}

double deviation(std::span<const float> a) {
  double sum = 0, squares = 0;
  for (const float x : a) sum += x, squares += static_cast<double>(x) * x;
  const auto n = static_cast<double>(a.size());
  return std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)));
}

std::string text_of_the_project() {
  std::ifstream file(SKEP_SOURCE_FOLDER "/doc/native.md");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// `noise`: the deviation of a logit between the two, as a share of the logits' own (native_forward_test.cc).
void compare(const std::string& path, double noise) {
  SCOPED_TRACE(path);
  Oracle oracle(path);
  ASSERT_TRUE(oracle.loaded());
  std::vector<Token> tokens = oracle.tokenize(text_of_the_project());
  ASSERT_GT(tokens.size(), 100U);
  tokens.resize(std::min<size_t>(tokens.size(), kTokens));
  const auto theirs = oracle.logits(tokens);
  ASSERT_EQ(theirs.size(), tokens.size());

  NativeOptions options;
  options.path = path;
  options.context_tokens = options.cells = options.batch_tokens = options.output_rows = 512;
  const auto forward = NativeForward::create(options);
  ASSERT_TRUE(forward) << forward.error().text();
  const Slice slice{0, 0, tokens, static_cast<int>(tokens.size())};
  ASSERT_TRUE((*forward)->step({&slice, 1}));

  double our_surprise = 0, their_surprise = 0, squares = 0;
  int clear = 0;
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    const auto ours = (*forward)->logits(static_cast<int>(i));
    const double mine = surprise(ours, tokens[i + 1]), other = surprise(theirs[i], tokens[i + 1]);
    our_surprise += mine;
    their_surprise += other;
    squares += (mine - other) * (mine - other);
    const Top top = top_of(theirs[i]);
    // A margin is the difference of two logits: √2 of one's noise; five deviations.
    if (top.margin < 5 * std::sqrt(2.0) * noise * deviation(theirs[i])) continue;
    ++clear;
    EXPECT_EQ(top_of(ours).token, top.token) << "after token " << i;
  }
  const auto n = static_cast<double>(tokens.size() - 1);
  const double ratio = std::exp((our_surprise - their_surprise) / n);
  // Beyond what the mean of so few differences scatters by: three standard errors.
  EXPECT_NEAR(ratio, 1, 0.001 + 3 * std::sqrt(squares / n / n))
      << "perplexities " << std::exp(our_surprise / n) << ", " << std::exp(their_surprise / n);
  testing::Test::RecordProperty("perplexity ratio", fmt::format("{:.5f}", ratio));
  testing::Test::RecordProperty("clear tokens", clear);
}

TEST(Perplexity, OfRandomWeightsIsLibllamas) {
  using enum synth::WeightType;
  for (const auto& [type, noise] : {std::pair{f32, 0.004}, {q8_0, 0.03}, {q4_0, 0.03}, {q4_k_m, 0.03}}) {
    synth::SynthOptions options;
    options.shape = *synth::find_shape("tiny-wide");
    options.type = type;
    options.threads = 1;
    options.path = (std::filesystem::temp_directory_path() / fmt::format("skep-perplexity-{}.gguf", getpid())).string();
    options.overwrite = true;
    ASSERT_TRUE(synth::synthesize(options));
    compare(options.path, noise);
    std::filesystem::remove(options.path);
  }
}

TEST(Perplexity, OfTrainedModelsIsLibllamas) {
  const std::filesystem::path folder(SKEP_SOURCE_FOLDER "/models");
  int compared = 0;
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != ".gguf") continue;
      compare(entry.path().string(), 0.03);
      ++compared;
    }
  }
  if (compared == 0) GTEST_SKIP() << "no trained model in models/";
}

}  // namespace
}  // namespace skep::engine::native
