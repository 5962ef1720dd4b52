// Each local move on a game made by hand in which it is the only one that gains.

#include "coalition/local_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace skep::coalition {
namespace {

using Groups = std::vector<std::vector<Rank>>;

class Game {
 public:
  // `of`: by agent, the coalition it starts in, named by one of its members.
  Game(std::vector<Links::Edge> edges, std::vector<Coalition> of, CoordinationCost cost = {})
      : edges_(std::move(edges)), cost_(cost), ids_(of.size()) {
    links_.rebuild(of.size(), edges_);
    std::iota(ids_.begin(), ids_.end(), 0U);
    state_.reset(links_, {nullptr, nullptr, cost}, ids_);
    for (Rank agent = 0; agent < of.size(); ++agent)
      if (of[agent] != agent) state_.partition.move(agent, of[agent]);
    for (const Links::Edge& edge : edges_) {
      if (of[edge.a] != of[edge.b]) continue;
      for (const Rank end : {edge.a, edge.b}) state_.partition.notes(end).inside += static_cast<double>(edge.weight);
    }
    search.begin(state_, 0, static_cast<Rank>(of.size()), 1'000'000);
    start_ = total();
  }

  [[nodiscard]] Groups groups() const {
    std::map<Coalition, std::vector<Rank>> by_number;
    for (const Rank agent : ids_) by_number[state_.partition.of(agent)].push_back(agent);
    Groups groups;
    for (const auto& [number, members] : by_number) groups.push_back(members);
    std::sort(groups.begin(), groups.end());
    return groups;
  }
  // From the definition, without what the search keeps.
  [[nodiscard]] double total() const {
    double sum = 0;
    for (const Links::Edge& edge : edges_)
      if (state_.partition.of(edge.a) == state_.partition.of(edge.b)) sum += static_cast<double>(edge.weight);
    for (const auto& members : groups()) sum -= cost_.of(members.size());
    return sum;
  }
  // Best single moves of everybody.
  void descend() {
    for (const Rank agent : ids_) search.wake(agent);
    search.descend();
  }
  [[nodiscard]] std::span<const Rank> all() const { return ids_; }
  [[nodiscard]] double gained() const {
    EXPECT_NEAR(search.gained(), total() - start_, 1e-6);
    EXPECT_NEAR(state_.total(), total(), 1e-6);
    return search.gained();
  }

  LocalSearch search;

 private:
  std::vector<Links::Edge> edges_;
  CoordinationCost cost_;
  std::vector<Agent> ids_;
  Links links_;
  State state_;
  double start_ = 0;
};

const double cost_of_two = 0.5 * (std::pow(2, 1.5) - 2);

TEST(LocalMoves, AnAgentJoinsWhereItGainsMost) {
  Game game({{0, 1, 0.6F}, {0, 2, 1.0F}, {0, 3, 0.2F}}, {0, 1, 2, 3});
  game.search.wake(0);
  game.search.descend();
  EXPECT_EQ(game.groups(), (Groups{{0, 2}, {1}, {3}}));
  EXPECT_NEAR(game.gained(), 1 - cost_of_two, 1e-6);
}

TEST(LocalMoves, AnAgentThatIsHeldByLessThanItCostsLeaves) {
  Game game({{0, 1, 1.0F}, {0, 2, 0.2F}, {1, 2, -0.3F}}, {0, 0, 0});
  const double before = game.total();
  EXPECT_GT(game.search.gain_of_leaving(2), 0);
  game.search.wake(2);
  game.search.descend();
  EXPECT_EQ(game.groups(), (Groups{{0, 1}, {2}}));
  EXPECT_NEAR(game.gained(), 1 - cost_of_two - before, 1e-6);
}

// Everybody is held by a strong partner; only both together gain by going over.
TEST(LocalMoves, TwoCoalitionsMergeWhereNoMemberWouldGoOverAlone) {
  Game game({{0, 1, 1.0F}, {2, 3, 1.0F}, {0, 2, 0.5F}, {0, 3, 0.5F}, {1, 2, 0.5F}, {1, 3, 0.5F}}, {0, 0, 2, 2});
  game.descend();
  ASSERT_EQ(game.groups(), (Groups{{0, 1}, {2, 3}}));
  game.search.split_around(game.all());
  game.search.swap_around(game.all());
  ASSERT_EQ(game.groups(), (Groups{{0, 1}, {2, 3}}));
  game.search.merge_around(game.all());
  EXPECT_EQ(game.groups(), (Groups{{0, 1, 2, 3}}));
  EXPECT_NEAR(game.gained(), 4 * 0.5 - (2 - 2 * cost_of_two), 1e-6);
}

TEST(LocalMoves, ACoalitionSplitsWhereNoMemberWouldLeaveAlone) {
  Game game({{0, 1, 1.0F}, {2, 3, 1.0F}, {1, 2, 0.1F}}, {0, 0, 0, 0});
  game.descend();
  ASSERT_EQ(game.groups(), (Groups{{0, 1, 2, 3}}));
  game.search.merge_around(game.all());
  game.search.swap_around(game.all());
  ASSERT_EQ(game.groups(), (Groups{{0, 1, 2, 3}}));
  game.search.split_around(game.all());
  EXPECT_EQ(game.groups(), (Groups{{0, 1}, {2, 3}}));
  EXPECT_NEAR(game.gained(), -0.1 + 2 - 2 * cost_of_two, 1e-6);
}

// Three are far too dear, so nobody can join the partner it would rather have.
TEST(LocalMoves, TwoAgentsSwapWhereTheCostForbidsAJoin) {
  Game game({{0, 1, 0.7F}, {2, 3, 0.7F}, {0, 3, 1.0F}, {1, 2, 1.0F}}, {0, 0, 2, 2}, {.factor = 0.01, .exponent = 6});
  game.descend();
  game.search.merge_around(game.all());
  game.search.split_around(game.all());
  ASSERT_EQ(game.groups(), (Groups{{0, 1}, {2, 3}}));
  game.search.swap_around(game.all());
  EXPECT_EQ(game.groups(), (Groups{{0, 3}, {1, 2}}));
  EXPECT_NEAR(game.gained(), 2 * 1.0 - 2 * 0.7, 1e-6);
}

TEST(LocalMoves, ACoalitionThatIsWorthLessThanItsMembersApartDissolves) {
  // Nobody gains by leaving alone, for that leaves a pair that costs less; all three apart are better still.
  Game game({{0, 1, 0.36F}, {1, 2, 0.36F}, {0, 2, 0.36F}}, {0, 0, 0});
  for (const Rank agent : game.all()) ASSERT_LE(game.search.gain_of_leaving(agent), 0);
  game.search.settle(game.all());
  EXPECT_EQ(game.groups(), (Groups{{0}, {1}, {2}}));
  EXPECT_GT(game.gained(), 0);
}

TEST(LocalMoves, NothingMovesWhereNothingGains) {
  Game game({{0, 1, 1.0F}, {1, 2, 0.3F}}, {0, 0, 2});
  game.descend();
  game.search.merge_around(game.all());
  game.search.split_around(game.all());
  game.search.swap_around(game.all());
  game.search.settle(game.all());
  EXPECT_EQ(game.groups(), (Groups{{0, 1}, {2}}));
  EXPECT_EQ(game.gained(), 0);
  EXPECT_TRUE(game.search.touched().empty());
}

}  // namespace
}  // namespace skep::coalition
