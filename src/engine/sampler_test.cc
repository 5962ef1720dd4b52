#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "engine/toy_vocabulary.h"

namespace skep::engine {
namespace {

const std::vector<float> kLogits = {1.0F, 3.0F, 2.0F, 0.0F, 2.5F};

std::map<Token, double> shares(Sampling sampling, std::vector<float> logits = kLogits, int draws = 40000) {
  Sampler sampler(std::move(sampling), 42, {});
  std::map<Token, double> counts;
  for (int i = 0; i < draws; ++i) counts[*sampler.sample(logits, nullptr)] += 1.0 / draws;
  return counts;
}

std::set<Token> drawn(Sampling sampling) {
  std::set<Token> tokens;
  for (const auto& [token, share] : shares(std::move(sampling))) tokens.insert(token);
  return tokens;
}

TEST(Sampler, TemperatureZeroTakesTheFirstOfTheHighest) {
  Sampler sampler({}, 1, {});
  EXPECT_EQ(sampler.sample(kLogits, nullptr), 1);
  std::vector<float> tie(100, 1.0F);
  EXPECT_EQ(sampler.sample(tie, nullptr), 0);
  tie[77] = tie[99] = 2.0F;
  EXPECT_EQ(sampler.sample(tie, nullptr), 77);
}

TEST(Sampler, DrawsFollowTheSoftmaxAtTheTemperature) {
  for (const float t : {0.5F, 1.0F, 2.0F}) {
    double sum = 0;
    for (const float l : kLogits) sum += std::exp(l / t);
    const auto counts = shares({.temperature = t});
    for (size_t i = 0; i < kLogits.size(); ++i) {
      const double expected = std::exp(kLogits[i] / t) / sum;
      const double seen = counts.contains(static_cast<Token>(i)) ? counts.at(static_cast<Token>(i)) : 0;
      EXPECT_NEAR(seen, expected, 4 * std::sqrt(expected / 40000) + 1e-4) << "token " << i << " at " << t;
    }
  }
}

TEST(Sampler, TopKTopPAndMinPCutTheTail) {
  EXPECT_EQ(drawn({.temperature = 5, .top_k = 2}), (std::set<Token>{1, 4}));
  EXPECT_EQ(drawn({.temperature = 5, .top_p = 0.01F}), (std::set<Token>{1}));
  // softmax at temperature 1: 0.46 for token 1, 0.28 for 4, 0.17 for 2: top-p is taken before the temperature.
  EXPECT_EQ(drawn({.temperature = 5, .top_p = 0.7F}), (std::set<Token>{1, 4}));
  EXPECT_EQ(drawn({.temperature = 5, .top_p = 0.8F}), (std::set<Token>{1, 2, 4}));
  EXPECT_EQ(drawn({.temperature = 5, .min_p = 0.5F}), (std::set<Token>{1, 4})) << "e^-0.5 > 0.5 > e^-1";
}

TEST(Sampler, TopPOfALargeVocabularyAgreesWithASortedOne) {
  Random random(5);
  std::vector<float> logits(5000);
  for (float& l : logits) l = static_cast<float>(random.normal() * 2);
  std::vector<float> sorted = logits;
  std::sort(sorted.rbegin(), sorted.rend());
  double total = 0;
  for (const float l : sorted) total += std::exp(l);
  double sum = 0;
  size_t kept = 0;
  while (sum < 0.9 * total) sum += std::exp(sorted[kept++]);
  Sampler sampler({.temperature = 50, .top_p = 0.9F}, 3, {});
  for (int i = 0; i < 500; ++i) {
    EXPECT_GE(logits[static_cast<size_t>(*sampler.sample(logits, nullptr))], sorted[kept - 1]);
  }
}

TEST(Sampler, TheSameSeedDrawsTheSameTokens) {
  Sampler a({.temperature = 1}, 7, {});
  Sampler b({.temperature = 1}, 7, {});
  Sampler c({.temperature = 1}, 8, {});
  int differs = 0;
  for (int i = 0; i < 100; ++i) {
    const auto token = a.sample(kLogits, nullptr);
    EXPECT_EQ(token, b.sample(kLogits, nullptr));
    differs += token != c.sample(kLogits, nullptr) ? 1 : 0;
  }
  EXPECT_GT(differs, 10);
}

TEST(Sampler, BiasAndSuppressionMoveTheChoice) {
  Sampler biased({.logit_bias = {{3, 10.0F}, {1, -100.0F}, {9999, 5.0F}}}, 1, {});
  EXPECT_EQ(biased.sample(kLogits, nullptr), 3);
  const Token suppressed[] = {1, 4};
  EXPECT_EQ(Sampler({}, 1, suppressed).sample(kLogits, nullptr), 2);
}

TEST(Sampler, PenaltiesLookBackOnlySoFar) {
  Sampler sampler({.presence_penalty = 5, .penalty_last_n = 2}, 1, {});
  sampler.accept(1);
  EXPECT_EQ(sampler.sample(kLogits, nullptr), 4);
  sampler.accept(4);
  EXPECT_EQ(sampler.sample(kLogits, nullptr), 2);
  sampler.accept(2);  // token 1 is out of the window again
  EXPECT_EQ(sampler.sample(kLogits, nullptr), 1);

  Sampler repeated({.repeat_penalty = 10}, 1, {});
  repeated.accept(1);
  EXPECT_EQ(repeated.sample(kLogits, nullptr), 4);
  Sampler frequent({.frequency_penalty = 0.3F}, 1, {});
  frequent.accept(1);
  EXPECT_EQ(frequent.sample(kLogits, nullptr), 1);
  frequent.accept(1);
  EXPECT_EQ(frequent.sample(kLogits, nullptr), 4);
}

// Allows only what is in a set, and counts how often it is asked about how many.
class Only final : public Grammar {
 public:
  explicit Only(std::set<Token> set) : set_(std::move(set)) {}
  void filter(std::span<const Token> tokens, std::vector<bool>& allowed) override {
    asked += tokens.size();
    allowed.assign(tokens.size(), false);
    for (size_t i = 0; i < tokens.size(); ++i) allowed[i] = set_.contains(tokens[i]);
  }
  Status accept(Token) override { return {}; }
  size_t asked = 0;

 private:
  std::set<Token> set_;
};

TEST(Sampler, AGrammarIsAskedAboutTheChoiceFirst) {
  Sampler sampler({}, 1, {});
  Only fits({1});
  EXPECT_EQ(sampler.sample(kLogits, &fits), 1);
  EXPECT_EQ(fits.asked, 1U);
  Only third({2});
  EXPECT_EQ(sampler.sample(kLogits, &third), 2);
  EXPECT_EQ(third.asked, 3U);
}

TEST(Sampler, AGrammarLeavesTheDistributionOfWhatItAllows) {
  Sampler sampler({.temperature = 1}, 9, {});
  Only grammar({0, 2, 3});
  std::map<Token, double> counts;
  for (int i = 0; i < 40000; ++i) counts[*sampler.sample(kLogits, &grammar)] += 1.0 / 40000;
  const double sum = std::exp(1.0) + std::exp(2.0) + std::exp(0.0);
  EXPECT_NEAR(counts[0], std::exp(1.0) / sum, 0.01);
  EXPECT_NEAR(counts[2], std::exp(2.0) / sum, 0.01);
  EXPECT_NEAR(counts[3], std::exp(0.0) / sum, 0.01);
  EXPECT_EQ(counts.size(), 3U);
}

TEST(Sampler, ANarrowGrammarFindsItsOnlyTokenInALargeVocabulary) {
  std::vector<float> logits(5000, 1.0F);
  logits[4321] = -20.0F;
  for (const float t : {0.0F, 1.0F}) {
    Sampler sampler({.temperature = t}, 1, {});
    Only grammar({4321});
    EXPECT_EQ(sampler.sample(logits, &grammar), 4321);
    Only nothing({});
    EXPECT_EQ(sampler.sample(logits, &nothing), std::nullopt);
  }
}

TEST(Sampler, BrokenLogitsGiveNoTokenInsteadOfACrash) {
  const std::vector<float> nan(10, std::numeric_limits<float>::quiet_NaN());
  for (const float t : {0.0F, 1.0F}) EXPECT_EQ(Sampler({.temperature = t}, 1, {}).sample(nan, nullptr), std::nullopt);
}

TEST(Logprobs, AreTheLogSoftmaxBestFirst) {
  double sum = 0;
  for (const float l : kLogits) sum += std::exp(l);
  const Logprobs found = logprobs_of(kLogits, 2, 3);
  EXPECT_NEAR(found.logprob, 2.0 - std::log(sum), 1e-5);
  ASSERT_EQ(found.top.size(), 3U);
  EXPECT_EQ(found.top[0].first, 1);
  EXPECT_EQ(found.top[2].first, 2);
  EXPECT_NEAR(found.top[2].second, found.logprob, 1e-6);
}

}  // namespace
}  // namespace skep::engine
