#include "memory/scoring.h"

#include <gtest/gtest.h>

namespace skep::memory {
namespace {

using std::chrono::hours;

TEST(Scoring, AgeHalvesWhatIsAboveTheFloor) {
  Scoring s;
  s.half_life = hours(24);
  s.floor = 0.5;
  EXPECT_DOUBLE_EQ(decay(s, hours(0)), 1);
  EXPECT_DOUBLE_EQ(decay(s, hours(24)), 0.75);
  EXPECT_DOUBLE_EQ(decay(s, hours(48)), 0.625);
  EXPECT_NEAR(decay(s, hours(24 * 365)), 0.5, 1e-9);
  EXPECT_DOUBLE_EQ(decay(s, hours(-5)), 1) << "the future is as good as now";
}

TEST(Scoring, ByRanksTheBestOfEitherListIsAmongTheFirst) {
  std::vector<Hit> hits;
  const auto add = [&](FactId id, double similarity, double text_score) {
    Hit hit;
    hit.fact.id = id;
    hit.similarity = similarity;
    hit.text_score = text_score;
    hits.push_back(hit);
  };
  for (FactId id = 1; id <= 20; ++id) add(id, 0.99 - 0.001 * static_cast<double>(id), 0.6);  // they sound alike
  add(100, 0.1, 1);                                                                          // it has the name
  const auto ids = [&](Blend blend) {
    Query query;
    query.limit = 3;
    query.blend = blend;
    auto best = hits;
    rank(best, Scoring(), query, true, true);
    return std::vector<FactId>{best[0].fact.id, best[1].fact.id, best[2].fact.id};
  };
  EXPECT_EQ(ids(Blend::weighted), (std::vector<FactId>{1, 2, 3}));
  EXPECT_EQ(ids(Blend::ranks), (std::vector<FactId>{1, 100, 2}));
}

TEST(Scoring, CaseSpaceAndTheLastStopMakeNoDifference) {
  EXPECT_EQ(normalized("  The  Sky\tis blue.\n"), "the sky is blue");
  EXPECT_NE(normalized("The sky is blue"), normalized("The sky is blue, isn't it"));
}

TEST(Scoring, TextsThatDifferInADetailAreNotOne) {
  const auto differ = differ_in_detail;
  EXPECT_TRUE(differ("The meeting is at 3 pm", "The meeting is at 4 pm"));
  EXPECT_TRUE(differ("Port 8051 is open", "Port 8051 is not open"));
  EXPECT_TRUE(differ("He doesn't eat fish", "He does eat fish"));
  EXPECT_TRUE(differ("Call it \"alpha\"", "Call it \"beta\""));
  EXPECT_TRUE(differ("The report is for Anna", "The report is for Berta"));
  EXPECT_TRUE(differ("Due on 2026-11-21", "Due on 2026-11-22"));
  EXPECT_TRUE(differ("It is -5 degrees", "It is 5 degrees"));
  EXPECT_TRUE(differ("Version 1.2", "Version 1.20"));
  EXPECT_TRUE(differ("In room 1 there are 2", "In room 2 there are 1"));
  EXPECT_TRUE(differ("The train from Rome to Bern", "The train from Bern to Rome"));
  EXPECT_FALSE(differ("The cat sleeps on the mat", "On the mat the cat sleeps"));
  EXPECT_FALSE(differ("Anna likes tea", "Tea is what is liked"));
  EXPECT_FALSE(differ("we ship 3 boxes to Rome", "3 boxes are shipped to Rome"));
}

}  // namespace
}  // namespace skep::memory
