#include "coalition/formation.h"

#include <gtest/gtest.h>
#include <h3/h3api.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>

#include "base/random.h"
#include "coalition/cell_index.h"

namespace skep::coalition {
namespace {

// Synergies without structure, in [low, 1).
std::shared_ptr<const PairSynergy> random_synergy(float low = 0) {
  return pair_synergy([low](Agent a, Agent b) {
    return low + (1 - low) * static_cast<float>(mix_bits(uint64_t{a} << 32 | b) >> 40) * 0x1p-24F;
  });
}

// `per_cell` agents in each unit square.
std::vector<Position> scatter(size_t agents, double per_cell, uint64_t seed) {
  const double side = std::sqrt(static_cast<double>(agents) / per_cell);
  Random random(seed);
  std::vector<Position> positions(agents);
  for (Position& position : positions) position = {random.uniform(0, side), random.uniform(0, side)};
  return positions;
}

Formation formation(ValueFunction value, int threads = 1) {
  return {Grid::plane(1).value(), std::move(value), {.threads = threads, .seed = 1}};
}

// v of all coalitions from its definition, without anything that the formation keeps.
double total_by_definition(const Formation& formation, const ValueFunction& value) {
  double total = 0;
  for (const uint32_t coalition : formation.coalitions()) {
    const auto members = formation.members(coalition);
    for (const Agent member : members)
      for (const auto& neighbour : formation.neighbours(member))
        if (neighbour.agent > member && formation.coalition_of(neighbour.agent) == coalition)
          total += neighbour.synergy;
    total -= value.cost.of(members.size());
    if (value.set) total += value.set->value(members);
  }
  return total;
}

std::vector<std::vector<Agent>> partition_of(const Formation& formation) {
  std::vector<std::vector<Agent>> result;
  for (const uint32_t coalition : formation.coalitions()) result.push_back(formation.members(coalition));
  std::sort(result.begin(), result.end());
  return result;
}

void expect_sound(const Formation& formation, const ValueFunction& value) {
  EXPECT_NEAR(formation.value(), total_by_definition(formation, value), 1e-6 * static_cast<double>(formation.agents()));
  std::set<Agent> seen;
  for (const auto& members : partition_of(formation))
    for (const Agent member : members) EXPECT_TRUE(seen.insert(member).second);
  EXPECT_EQ(seen.size(), formation.agents());
  for (Agent agent = 0; agent < formation.agents(); ++agent) EXPECT_LE(formation.gain_of_leaving(agent), 1e-6);
}

TEST(Formation, NeighboursAreThoseInTheDiskOfTheCell) {
  Formation some = formation({random_synergy(), nullptr, {}});
  const auto positions = scatter(400, 2, 9);
  ASSERT_TRUE(some.rebuild(positions));
  for (Agent a = 0; a < positions.size(); ++a) {
    std::set<Agent> near;
    for (const auto& neighbour : some.neighbours(a)) near.insert(neighbour.agent);
    for (Agent b = 0; b < positions.size(); ++b) {
      const double columns = std::abs(std::floor(positions[a].x) - std::floor(positions[b].x));
      const double rows = std::abs(std::floor(positions[a].y) - std::floor(positions[b].y));
      EXPECT_EQ(near.count(b) == 1, a != b && columns <= 1 && rows <= 1);
    }
  }
}

H3Index h3_cell(const Position& at, int resolution) {
  const LatLng where{degsToRads(at.y), degsToRads(at.x)};
  H3Index cell = 0;
  EXPECT_EQ(latLngToCell(&where, resolution, &cell), 0U);
  return cell;
}

// Against H3's own answer to whether two cells touch: around a pentagon, over the antimeridian, in an ordinary place.
TEST(Formation, OnTheEarthNeighboursAreThoseInTheSameCellOrOneThatTouchesIt) {
  constexpr int resolution = 4;
  std::array<H3Index, 12> pentagons{};
  ASSERT_EQ(getPentagons(resolution, pentagons.data()), 0U);
  LatLng pentagon{};
  cellToLatLng(pentagons[3], &pentagon);
  const Position middles[] = {
      {radsToDegs(pentagon.lng), radsToDegs(pentagon.lat)}, {180, 10}, {-180, -50}, {13.4, 52.5}};
  const ValueFunction value{random_synergy(), nullptr, {}};
  Random random(17);
  for (const Position& middle : middles) {
    std::vector<Position> positions;
    for (int i = 0; i < 150; ++i) {
      const Position at{middle.x + random.uniform(-1, 1), middle.y + random.uniform(-1, 1)};
      positions.push_back({std::remainder(at.x, 360), at.y});
    }
    Formation some(Grid::earth(resolution).value(), value, {.threads = 2, .seed = 1});
    ASSERT_TRUE(some.rebuild(positions));
    size_t pairs = 0, over = 0;
    bool at_pentagon = false;
    const auto expect_neighbours = [&] {
      for (Agent a = 0; a < positions.size(); ++a) {
        std::set<Agent> near;
        for (const auto& neighbour : some.neighbours(a)) near.insert(neighbour.agent);
        const H3Index cell = h3_cell(positions[a], resolution);
        at_pentagon |= isPentagon(cell) != 0;
        for (Agent b = 0; b < positions.size(); ++b) {
          if (a == b) continue;
          const H3Index other = h3_cell(positions[b], resolution);
          int touch = 0;
          ASSERT_TRUE(cell == other || areNeighborCells(cell, other, &touch) == 0);
          EXPECT_EQ(near.count(b) == 1, cell == other || touch != 0) << a << ' ' << b << " at " << middle.x;
          pairs += near.count(b);
          over += near.count(b) == 1 && std::abs(positions[a].x - positions[b].x) > 180 ? 1 : 0;
        }
      }
    };
    expect_neighbours();
    EXPECT_GT(pairs, 150U);
    EXPECT_EQ(at_pentagon, middle.y == middles[0].y);
    EXPECT_EQ(over > 0, std::abs(middle.x) == 180) << "nobody is near over the antimeridian";
    expect_sound(some, value);
    // And after some have moved, by the incremental way.
    std::vector<Formation::Move> moves;
    for (Agent agent = 0; agent < 20; ++agent) {
      positions[agent] = {std::remainder(middle.x + random.uniform(-1, 1), 360), middle.y + random.uniform(-1, 1)};
      moves.push_back({agent, positions[agent]});
    }
    ASSERT_TRUE(some.update(moves));
    expect_neighbours();
    expect_sound(some, value);
  }
}

TEST(Formation, NobodyGainsByLeavingAloneAndTheValueIsThatOfTheDefinition) {
  for (const float low : {0.0F, -0.7F}) {
    const ValueFunction value{random_synergy(low), nullptr, {}};
    Formation some = formation(value);
    ASSERT_TRUE(some.rebuild(scatter(3000, 2, 1)));
    EXPECT_GT(some.value(), 0);
    expect_sound(some, value);
  }
}

TEST(Formation, TheSameWhateverTheNumberOfThreads) {
  const ValueFunction value{random_synergy(), nullptr, {}};
  Formation one = formation(value, 1), four = formation(value, 4);
  const auto positions = scatter(20'000, 2, 2);
  ASSERT_TRUE(one.rebuild(positions));
  ASSERT_TRUE(four.rebuild(positions));
  EXPECT_EQ(partition_of(one), partition_of(four));
  EXPECT_EQ(one.value(), four.value());
}

TEST(Formation, StaysSoundWhileAgentsMove) {
  const ValueFunction value{random_synergy(), nullptr, {}};
  Formation some = formation(value, 2);
  auto positions = scatter(2000, 2, 3);
  ASSERT_TRUE(some.rebuild(positions));
  Random random(5);
  for (int round = 0; round < 30; ++round) {
    std::vector<Formation::Move> moves;
    for (int i = 0; i < 100; ++i) {
      const Agent agent = random.below(2000);
      positions[agent].x += random.uniform(-2, 2);
      positions[agent].y += random.uniform(-2, 2);
      moves.push_back({agent, positions[agent]});
    }
    ASSERT_TRUE(some.update(moves));
    expect_sound(some, value);
  }
  Formation fresh = formation(value);
  ASSERT_TRUE(fresh.rebuild(positions));
  for (Agent agent = 0; agent < positions.size(); ++agent)
    EXPECT_EQ(some.neighbours(agent).size(), fresh.neighbours(agent).size());
  EXPECT_GT(some.value(), 0.93 * fresh.value());
}

// Enough movers for blocks to be searched in parallel, some of them far away from where their rank is at home.
TEST(Formation, UpdatesAreTheSameAndSoundWhateverTheNumberOfThreads) {
  const ValueFunction value{random_synergy(-0.2F), nullptr, {}};
  Formation one = formation(value, 1), four = formation(value, 4);
  auto positions = scatter(6000, 2, 9);
  ASSERT_TRUE(one.rebuild(positions));
  ASSERT_TRUE(four.rebuild(positions));
  Random random(10);
  for (int round = 0; round < 12; ++round) {
    const double far = round % 3 == 0 ? 30 : 1.5;
    std::vector<Formation::Move> moves;
    for (int i = 0; i < 600; ++i) {
      const Agent agent = random.below(6000);
      positions[agent].x += random.uniform(-far, far);
      positions[agent].y += random.uniform(-far, far);
      moves.push_back({agent, positions[agent]});
    }
    ASSERT_TRUE(one.update(moves));
    ASSERT_TRUE(four.update(moves));
    ASSERT_EQ(partition_of(one), partition_of(four)) << "round " << round;
    ASSERT_EQ(one.value(), four.value());
    expect_sound(four, value);
  }
  Formation fresh = formation(value);
  ASSERT_TRUE(fresh.rebuild(positions));
  EXPECT_GT(four.value(), 0.93 * fresh.value());
}

// Only where they are at last counts.
TEST(Formation, UpdatesAreTheSameWhateverTheOrderOfTheMovesAndOfWhatCameBetween) {
  const ValueFunction value{random_synergy(), nullptr, {}};
  Formation once = formation(value), twice = formation(value, 2);
  auto positions = scatter(3000, 2, 11);
  ASSERT_TRUE(once.rebuild(positions));
  ASSERT_TRUE(twice.rebuild(positions));
  Random random(12);
  for (int round = 0; round < 5; ++round) {
    std::vector<Formation::Move> moves, detours;
    for (Agent agent = random.below(8); agent < 3000; agent += 8) {
      positions[agent].x += random.uniform(-2, 2);
      moves.push_back({agent, positions[agent]});
      detours.push_back({agent, {random.uniform(0, 40), random.uniform(0, 40)}});
    }
    ASSERT_TRUE(once.update(moves));
    detours.insert(detours.end(), moves.rbegin(), moves.rend());
    ASSERT_TRUE(twice.update(detours));
    ASSERT_EQ(partition_of(once), partition_of(twice)) << "round " << round;
    expect_sound(twice, value);
  }
}

TEST(Formation, ACrowdStaysSparseAndSoundWhenItMoves) {
  const ValueFunction value{random_synergy(), nullptr, {}};
  Formation some = formation(value);
  std::vector<Position> positions(300, Position{0.5, 0.5});  // all in one cell
  ASSERT_TRUE(some.rebuild(positions));
  for (Agent agent = 0; agent < 300; ++agent) EXPECT_LT(some.neighbours(agent).size(), CellIndex::floor_size);
  expect_sound(some, value);
  Random random(6);
  for (int round = 0; round < 20; ++round) {
    std::vector<Formation::Move> moves;
    for (int i = 0; i < 40; ++i) moves.push_back({random.below(300), {random.uniform(0, 2), random.uniform(0, 2)}});
    ASSERT_TRUE(some.update(moves));
    for (Agent agent = 0; agent < 300; ++agent)
      for (const auto& neighbour : some.neighbours(agent)) {
        const auto back = some.neighbours(neighbour.agent);
        ASSERT_TRUE(std::any_of(back.begin(), back.end(), [&](const auto& n) { return n.agent == agent; }));
      }
    expect_sound(some, value);
  }
}

TEST(Formation, AgentsThatChangeAreSeenByThoseAround) {
  auto liked = std::make_shared<std::vector<float>>(200, 1.0F);
  const ValueFunction value{
      pair_synergy([liked](Agent a, Agent b) { return std::min((*liked)[a], (*liked)[b]); }), nullptr, {}};
  Formation some = formation(value);
  ASSERT_TRUE(some.rebuild(scatter(200, 2, 7)));
  for (Agent agent = 0; agent < 200; agent += 2) (*liked)[agent] = -1;
  std::vector<Agent> changed;
  for (Agent agent = 0; agent < 200; agent += 2) changed.push_back(agent);
  ASSERT_TRUE(some.update({}, changed));
  expect_sound(some, value);
  for (const Agent agent : changed) EXPECT_EQ(some.members(some.coalition_of(agent)).size(), 1U);
}

TEST(Formation, MoreSearchNeverLosesAndIsRepeatable) {
  const ValueFunction value{random_synergy(), nullptr, {}};
  Formation some = formation(value), again = formation(value);
  const auto positions = scatter(1000, 2, 8);
  ASSERT_TRUE(some.rebuild(positions));
  ASSERT_TRUE(again.rebuild(positions));
  const double before = some.value();
  const double gained = some.improve({.evaluations = 100'000});
  EXPECT_GT(gained, 0);
  EXPECT_NEAR(some.value(), before + gained, 1e-9);
  expect_sound(some, value);
  again.improve({.evaluations = 100'000});
  EXPECT_EQ(partition_of(some), partition_of(again));
}

TEST(Formation, ADeadlineEndsTheSearch) {
  Formation some = formation({random_synergy(), nullptr, {}});
  ASSERT_TRUE(some.rebuild(scatter(1000, 2, 8)));
  const double before = some.value();
  ManualClock clock;
  EXPECT_EQ(some.improve({.evaluations = UINT64_MAX, .clock = &clock, .deadline = clock.now()}), 0);
  EXPECT_EQ(some.value(), before);
}

TEST(Formation, TasksBringTogetherThoseWhoseCapabilitiesTheyNeed) {
  std::vector<TaskCoverage::Capabilities> capabilities(60);
  for (size_t i = 0; i < capabilities.size(); ++i) capabilities[i] = uint64_t{1} << (i % 4);
  const ValueFunction value{
      nullptr, std::make_shared<TaskCoverage>(capabilities, std::vector{TaskCoverage::Task{0b1111, 5}}), {}};
  Formation some = formation(value);
  ASSERT_TRUE(some.rebuild(std::vector<Position>(60, Position{0.5, 0.5})));
  expect_sound(some, value);
  const auto served = [&] {
    size_t sum = 0;
    for (const auto& members : partition_of(some)) sum += value.set->value(members) > 0 ? 1 : 0;
    return sum;
  };
  EXPECT_GE(served(), 10U);  // of the 15 that are possible
  some.improve({.evaluations = 200'000});
  EXPECT_GE(served(), 13U);
  expect_sound(some, value);
}

TEST(Formation, PayoffsShareTheValueAndKeepEveryoneIn) {
  Formation some = formation({random_synergy(), nullptr, {}});
  ASSERT_TRUE(some.rebuild(scatter(500, 3, 4)));
  for (const uint32_t coalition : some.coalitions()) {
    const auto payoffs = some.payoffs(coalition, {.samples = 16, .seed = 2});
    EXPECT_NEAR(std::accumulate(payoffs.begin(), payoffs.end(), 0.0), some.value(coalition), 1e-6);
    for (const double payoff : payoffs) EXPECT_GE(payoff, -1e-9);
  }
}

TEST(Formation, RefusesPositionsAndAgentsThatAreNone) {
  Formation some = formation({random_synergy(), nullptr, {}});
  const auto refused = some.rebuild(std::vector<Position>{{0, 0}, {NAN, 0}});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("agent 1"), std::string::npos);
  ASSERT_TRUE(some.rebuild(scatter(10, 2, 1)));
  const double before = some.value();
  EXPECT_FALSE(some.update(std::vector<Formation::Move>{{3, {0, 0}}, {10, {0, 0}}}));
  EXPECT_FALSE(some.update({}, std::vector<Agent>{10}));
  EXPECT_EQ(some.value(), before);
}

TEST(Formation, NobodyIsFineToo) {
  Formation some = formation({random_synergy(), nullptr, {}});
  ASSERT_TRUE(some.rebuild({}));
  ASSERT_TRUE(some.update({}));
  EXPECT_EQ(some.improve({.evaluations = 10}), 0);
  EXPECT_TRUE(some.coalitions().empty());
}

}  // namespace
}  // namespace skep::coalition
