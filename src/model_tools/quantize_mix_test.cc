#include "model_tools/quantize_mix.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"

namespace skep::model_tools {
namespace {

using Tensors = std::vector<std::vector<TypeChoice>>;

Bytes bytes_of(const Tensors& tensors, const std::vector<size_t>& mix) {
  Bytes sum;
  for (size_t t = 0; t < tensors.size(); ++t) sum += tensors[t][mix[t]].bytes;
  return sum;
}
double error_of(const Tensors& tensors, const std::vector<size_t>& mix) {
  double sum = 0;
  for (size_t t = 0; t < tensors.size(); ++t) sum += tensors[t][mix[t]].error;
  return sum;
}

// By trying all.
double least_error(const Tensors& tensors, Bytes budget) {
  std::vector<size_t> mix(tensors.size(), 0);
  double least = std::numeric_limits<double>::infinity();
  for (;;) {
    if (bytes_of(tensors, mix) <= budget) least = std::min(least, error_of(tensors, mix));
    size_t t = 0;
    while (t < mix.size() && ++mix[t] == tensors[t].size()) mix[t++] = 0;
    if (t == mix.size()) return least;
  }
}

TEST(QuantizeMix, GivesTheBitsToTheTensorThatNeedsThem) {
  const Tensors tensors = {
      {{0, 10_B, 0.9}, {1, 20_B, 0.1}},
      {{0, 10_B, 0.2}, {1, 20_B, 0.1}},
  };
  const auto mix = choose_mix(tensors, 30_B);
  ASSERT_TRUE(mix);
  EXPECT_EQ(*mix, (std::vector<size_t>{1, 0}));
}

TEST(QuantizeMix, FindsNothingBelowTheSmallestMix) {
  const Tensors tensors = {{{0, 10_B, 0.9}, {1, 20_B, 0.1}}, {{0, 30_B, 0.5}}};
  EXPECT_EQ(smallest_mix(tensors), 40_B);
  EXPECT_FALSE(choose_mix(tensors, 39_B));
  EXPECT_TRUE(choose_mix(tensors, 40_B));
}

TEST(QuantizeMix, NeverTakesATypeThatIsLargerAndNoBetter) {
  const Tensors tensors = {{{0, 10_B, 0.1}, {1, 20_B, 0.3}, {2, 30_B, 0.05}}};
  const auto mix = choose_mix(tensors, 25_B);
  ASSERT_TRUE(mix);
  EXPECT_EQ(mix->front(), 0U);
}

TEST(QuantizeMix, StaysInTheBudgetAndNearTheOptimum) {
  Random random(7);
  double ours = 0, best = 0;
  for (int round = 0; round < 300; ++round) {
    Tensors tensors;
    double widest = 0;  // the largest step of one tensor bounds the gap
    for (int t = 0; t < 6; ++t) {
      std::vector<TypeChoice> choices;
      const double sensitivity = random.uniform(0.1, 3.0);
      const auto weights = static_cast<double>(1 + random.below(50));
      for (const double bits : {2.6, 3.4, 4.5, 6.6, 8.5}) {
        choices.push_back({0, Bytes(static_cast<int64_t>(weights * bits * 16)), sensitivity * std::pow(4.0, -bits)});
      }
      widest = std::max(widest, choices.front().error - choices.back().error);
      tensors.push_back(std::move(choices));
    }
    const Bytes smallest = smallest_mix(tensors);
    const Bytes budget = Bytes(static_cast<int64_t>(static_cast<double>(smallest.count) * random.uniform(1.0, 3.0)));
    const auto mix = choose_mix(tensors, budget);
    ASSERT_TRUE(mix);
    ASSERT_LE(bytes_of(tensors, *mix), budget);
    const double optimum = least_error(tensors, budget);
    ASSERT_LE(error_of(tensors, *mix), optimum + widest);
    ours += error_of(tensors, *mix), best += optimum;
  }
  EXPECT_LE(ours, best * 1.1);
}

}  // namespace
}  // namespace skep::model_tools
