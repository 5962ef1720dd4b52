#include "mind/belief/action_choice.h"

#include <gtest/gtest.h>

#include <map>

namespace skep::belief {
namespace {

using Marginals = std::vector<std::vector<double>>;

TEST(ActionChoice, TheLikeliestOfEveryFactorMakeTheJointAction) {
  Marginals marginals{{0.1, 0.9}, {0.2, 0.3, 0.5}, {0.6, 0.4}};
  EXPECT_EQ(choose_action(marginals, ActionSelection::deterministic, 16, 0), (1 * 3 + 2) * 2 + 0);
}

// Evenly spaced numbers draw every joint action as often as the factors' probabilities multiply to.
TEST(ActionChoice, OneNumberDrawsAllFactorsIndependently) {
  const Marginals p{{0.25, 0.75}, {0.5, 0.2, 0.3}};
  constexpr int kDraws = 20'000;
  std::map<int, int> drawn;
  for (int i = 0; i < kDraws; ++i) {
    Marginals marginals = p;
    ++drawn[choose_action(marginals, ActionSelection::sampled, 1, (i + 0.5) / kDraws)];
  }
  for (int first = 0; first < 2; ++first) {
    for (int second = 0; second < 3; ++second) {
      EXPECT_NEAR(drawn[first * 3 + second] / double{kDraws},
                  p[0][static_cast<size_t>(first)] * p[1][static_cast<size_t>(second)], 1e-3);
    }
  }
}

TEST(ActionChoice, ALargeAlphaMakesTheLikelierCertain) {
  for (double u : {0.01, 0.3, 0.7, 0.999}) {
    Marginals marginals{{0.4, 0.6}};
    EXPECT_EQ(choose_action(marginals, ActionSelection::sampled, 200, u), 1);
  }
}

}  // namespace
}  // namespace skep::belief
