// Rows that were edited, against rows made from nothing.

#include "coalition/links.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "base/random.h"

namespace skep::coalition {
namespace {

using Row = std::vector<std::pair<Rank, float>>;

Row sorted(std::span<const Link> links) {
  Row row;
  for (const Link& link : links) row.emplace_back(link.to, link.weight);
  std::sort(row.begin(), row.end());
  return row;
}

// Agents on a plane, whose ranks are their numbers.
class World {
 public:
  World(size_t agents, double side) : side_(side), keys_(agents), ids_(agents) {
    std::iota(ids_.begin(), ids_.end(), 0U);
    for (CellKey& key : keys_) key = somewhere();
    std::sort(keys_.begin(), keys_.end());
    cells_.rebuild(keys_, *pool_);
    links.rebuild(cells_, synergy_.get(), ids_, *pool_);
  }

  CellKey somewhere() { return grid_.cell({random.uniform(0, side_), random.uniform(0, side_)}); }

  // By the way of updates, in so many parts.
  void move(const std::vector<std::pair<Rank, CellKey>>& moves, size_t parts) {
    std::vector<Rank> loose;
    for (const auto& [agent, to] : moves) loose.push_back(agent);
    std::sort(loose.begin(), loose.end());
    std::vector<Links::Part> all(parts);
    const size_t agents = ids_.size();
    links.loosen(loose);
    const auto each = [&](auto&& edit) {
      for (size_t p = 0; p < parts; ++p) {
        all[p].begin = static_cast<Rank>(agents * p / parts);
        all[p].end = static_cast<Rank>(agents * (p + 1) / parts);
        for (const Rank agent : loose)
          if (all[p].has(agent)) edit(agent, all[p]);
      }
    };
    each([&](Rank agent, Links::Part& part) { links.detach(agent, part); });
    for (Links::Part& part : all) links.finish_detaching(part);
    for (const auto& [agent, to] : moves) cells_.move(agent, to, cells_.find(to));
    each([&](Rank agent, Links::Part& part) { links.fill(agent, part); });
    each([&](Rank agent, Links::Part& part) { links.attach(agent, part); });
    for (Links::Part& part : all) links.finish_attaching(part);
    links.fasten(loose);
  }

  // Everybody's row is what it would be if all rows were made now.
  void expect_fresh() const {
    Links fresh;
    fresh.rebuild(cells_, synergy_.get(), ids_, *pool_);
    for (Rank agent = 0; agent < ids_.size(); ++agent) ASSERT_EQ(sorted(links.row(agent)), sorted(fresh.row(agent)));
  }

  Random random{3};
  Links links;

 private:
  double side_;
  Grid grid_ = Grid::plane(1).value();
  std::unique_ptr<kernel::ThreadPool> pool_ = kernel::ThreadPool::create(1);
  std::shared_ptr<const PairSynergy> synergy_ =
      pair_synergy([](Agent a, Agent b) { return static_cast<float>(mix_bits(uint64_t{a} << 32 | b) % 1000); });
  CellIndex cells_{grid_};
  std::vector<CellKey> keys_;
  std::vector<Agent> ids_;
};

TEST(Links, AreAfterManyMovesWhatTheyWouldBeFromNothing) {
  for (const size_t parts : {1U, 3U}) {
    World world(600, 17);
    for (int round = 0; round < 30; ++round) {
      std::vector<std::pair<Rank, CellKey>> moves;
      for (Rank agent = world.random.below(10); agent < 600; agent += 1 + world.random.below(20))
        moves.emplace_back(agent, world.somewhere());
      world.move(moves, parts);
      world.expect_fresh();
    }
  }
}

// A crowd's rows are several times as long as their places, before and after it gathers.
TEST(Links, RowsThatAreTooLongForTheirPlacesAreElsewhere) {
  for (const size_t parts : {1U, 3U}) {
    World world(600, 17);
    const CellKey square = world.somewhere();
    std::vector<std::pair<Rank, CellKey>> there, away;
    for (Rank agent = 5; agent < 600; agent += 20) there.emplace_back(agent, square);
    ASSERT_LE(there.size(), CellIndex::floor_size) << "whoever leaves changes who is on which floor";
    world.move(there, parts);
    world.expect_fresh();
    EXPECT_GE(world.links.row(5).size(), there.size() - 1);
    for (const auto& [agent, key] : there) away.emplace_back(agent, world.somewhere());
    world.move(away, parts);
    world.expect_fresh();
    EXPECT_LT(world.links.row(5).size(), there.size() - 1);
    world.move(there, parts);
    world.expect_fresh();
  }
}

TEST(Links, FromEdgesHaveAllOfThemInBothRows) {
  constexpr size_t agents = 50;
  std::vector<Links::Edge> edges;
  for (Rank a = 1; a < agents; ++a) edges.push_back({0, a, static_cast<float>(a)});  // 0's row is far above the mean
  for (Rank a = 1; a + 1 < agents; a += 2) edges.push_back({a, a + 1, 0.5F});
  Links links;
  links.rebuild(agents, edges);
  ASSERT_EQ(links.agents(), agents);
  std::vector<Row> expected(agents);
  for (const Links::Edge& edge : edges) {
    expected[edge.a].emplace_back(edge.b, edge.weight);
    expected[edge.b].emplace_back(edge.a, edge.weight);
  }
  for (Rank agent = 0; agent < agents; ++agent) {
    std::sort(expected[agent].begin(), expected[agent].end());
    EXPECT_EQ(sorted(links.row(agent)), expected[agent]);
  }
}

}  // namespace
}  // namespace skep::coalition
