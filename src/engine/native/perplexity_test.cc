// How well a model predicts a text, by libllama and by our own forward pass: equal to 0.1 % beyond chance, and the same
// most likely token wherever libllama's margin is larger than what rounding activations can move. On random weights in
// several types, and on every trained model that lies in models/. The text is the project's documentation, read in
// windows, each from its own beginning. SKEP_PERPLEXITY_TOKENS=20000 reads that much of it, and SKEP_PERPLEXITY_MODEL
// names another file; results are printed then (bench/RESULTS.md).

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/native/native_forward.h"
#include "engine/native/oracle.h"
#include "engine/synth/synth.h"

namespace skep::engine::native {
namespace {

constexpr size_t kWindow = 512;
constexpr size_t kRandomTokens = 384, kTrainedTokens = 4096;

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
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(SKEP_SOURCE_FOLDER "/doc")) {
    if (entry.path().extension() == ".md") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::stringstream text;
  for (const auto& file : files) text << std::ifstream(file).rdbuf();
  return text.str();
}

// Sums over tokens.
struct Compared {
  double ours = 0, theirs = 0;  // surprise
  double squares = 0;           // of its differences
  int tokens = 0, clear = 0;    // clear: libllama's margin left no doubt

  [[nodiscard]] double ratio() const { return std::exp((ours - theirs) / tokens); }  // of the perplexities
  // Of the mean difference: what so few scatter by.
  [[nodiscard]] double standard_error() const { return std::sqrt(squares) / tokens; }
};

// One window. `noise`: the deviation of a logit between the two, as a share of the logits' own
// (native_forward_test.cc).
void compare(Oracle& oracle, NativeForward& forward, std::span<const Token> tokens, double noise, Compared& sum) {
  const auto theirs = oracle.logits(tokens);
  ASSERT_EQ(theirs.size(), tokens.size());
  forward.drop(0, 0, Forward::kEnd);
  const Slice slice{0, 0, tokens, static_cast<int>(tokens.size())};
  ASSERT_TRUE(forward.step({&slice, 1}));
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    const auto ours = forward.logits(static_cast<int>(i));
    const double mine = surprise(ours, tokens[i + 1]), other = surprise(theirs[i], tokens[i + 1]);
    sum.ours += mine;
    sum.theirs += other;
    sum.squares += (mine - other) * (mine - other);
    ++sum.tokens;
    const Top top = top_of(theirs[i]);
    // A margin is the difference of two logits: √2 of one's noise; five deviations.
    if (top.margin < 5 * std::sqrt(2.0) * noise * deviation(theirs[i])) continue;
    ++sum.clear;
    EXPECT_EQ(top_of(ours).token, top.token) << "after token " << i;
  }
}

void compare(const std::string& path, double noise, size_t most) {
  SCOPED_TRACE(path);
  Oracle oracle(path);
  ASSERT_TRUE(oracle.loaded());
  std::vector<Token> tokens = oracle.tokenize(text_of_the_project());
  ASSERT_GT(tokens.size(), 100U);
  const char* asked = std::getenv("SKEP_PERPLEXITY_TOKENS");
  tokens.resize(std::min<size_t>(tokens.size(), asked != nullptr ? std::strtoul(asked, nullptr, 10) : most));

  NativeOptions options;
  options.path = path;
  options.context_tokens = options.cells = options.batch_tokens = options.output_rows = kWindow;
  const auto forward = NativeForward::create(options);
  ASSERT_TRUE(forward) << forward.error().text();
  Compared sum;
  for (size_t begin = 0; begin + 2 < tokens.size(); begin += kWindow) {
    const auto window = std::span(tokens).subspan(begin, std::min(kWindow, tokens.size() - begin));
    ASSERT_NO_FATAL_FAILURE(compare(oracle, **forward, window, noise, sum));
  }
  EXPECT_NEAR(sum.ratio(), 1, 0.001 + 3 * sum.standard_error());
  const std::string text = fmt::format(
      "{}: {} tokens, perplexity {:.3f}, libllama's {:.3f}, ratio {:.5f} ± {:.5f}; {} clear choices, all the same",
      std::filesystem::path(path).filename().string(), sum.tokens, std::exp(sum.ours / sum.tokens),
      std::exp(sum.theirs / sum.tokens), sum.ratio(), sum.standard_error(), sum.clear);
  testing::Test::RecordProperty("perplexity", text);
  if (asked != nullptr && !testing::Test::HasFailure()) fmt::print("{}\n", text);
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
    compare(options.path, noise, kRandomTokens);
    std::filesystem::remove(options.path);
  }
}

TEST(Perplexity, OfTrainedModelsIsLibllamas) {
  if (const char* path = std::getenv("SKEP_PERPLEXITY_MODEL"); path != nullptr) {
    return compare(path, 0.03, kTrainedTokens);
  }
  const std::filesystem::path folder(SKEP_SOURCE_FOLDER "/models");
  int compared = 0;
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != ".gguf") continue;
      compare(entry.path().string(), 0.03, kTrainedTokens);
      ++compared;
    }
  }
  if (compared == 0) GTEST_SKIP() << "no trained model in models/";
}

}  // namespace
}  // namespace skep::engine::native
