// Going on from coalitions that are there: agents that moved, and more search when there is time.

#include <algorithm>
#include <cassert>

#include "coalition/formation.h"
#include "coalition/formation_impl.h"

namespace skep::coalition {
namespace {

constexpr size_t movers_at_a_time = 32;
constexpr uint32_t small_enough_to_merge = 2;  // coalitions of those who moved, to look where they could go as one
constexpr uint64_t evaluations_between_looks_at_the_clock = 2000;

}  // namespace

// The new cells of those who move; fails before anything has changed.
Result<std::vector<CellKey>> Formation::Impl::cells_of(std::span<const Move> moves, std::span<const Agent> changed) {
  for (const Agent agent : changed)
    if (agent >= ids.size())
      return fail(ErrorCode::invalid_argument, fmt::format("agent {} changed: there are {}", agent, ids.size()));
  std::vector<CellKey> to(moves.size());
  constexpr size_t block = 64;
  pool->run(static_cast<uint32_t>((moves.size() + block - 1) / block), [&](uint32_t number, uint32_t) {
    for (size_t i = number * block; i < std::min(moves.size(), (number + 1) * block); ++i)
      to[i] = grid.cell(moves[i].to);
  });
  for (size_t i = 0; i < moves.size(); ++i)
    if (moves[i].agent >= ids.size() || to[i] == 0)
      return fail(ErrorCode::invalid_argument, fmt::format("agent {} to ({}, {}): no such agent or position",
                                                           moves[i].agent, moves[i].to.x, moves[i].to.y));
  return to;
}

// Those who move or changed first leave their coalitions while the links are still the old ones. Then no link inside a
// coalition changes, so that every sum of links inside stays true; and last, they look for the best place to go.
Status Formation::update(std::span<const Move> moves, std::span<const Agent> changed) {
  Impl& self = *impl_;
  SKEP_TRY(const std::vector<CellKey> to, self.cells_of(moves, changed));
  LocalSearch& search = self.searches[0];
  search.begin(self.state, 0, static_cast<Rank>(self.ids.size()), 0);

  std::vector<Rank> loose;
  for (size_t i = 0; i < moves.size(); ++i) {
    const Rank rank = self.ranks[moves[i].agent];
    const uint32_t cell = self.cells.cell_of(rank);
    if (self.cells.key(cell) == to[i]) continue;
    loose.push_back(rank);
    // When an agent leaves a crowd, another comes down to its floor and so gets other neighbours.
    const auto crowd = self.cells.members(cell);
    if (crowd.size() > CellIndex::floor_size) loose.insert(loose.end(), crowd.begin(), crowd.end());
  }
  for (const Agent agent : changed) loose.push_back(self.ranks[agent]);
  std::sort(loose.begin(), loose.end());
  loose.erase(std::unique(loose.begin(), loose.end()), loose.end());

  for (const Rank rank : loose) search.leave(rank);
  self.links.detach(loose);
  for (size_t i = 0; i < moves.size(); ++i) self.cells.move(self.ranks[moves[i].agent], to[i]);
  self.links.attach(loose, *self.pool);

  search.add_effort(evaluations_per_agent * (loose.size() + 1));
  // A few at a time, in the order of places: those they wake are looked at while the caches still know them.
  for (size_t i = 0; i < loose.size(); ++i) {
    search.wake(loose[i]);
    if (i % movers_at_a_time == movers_at_a_time - 1) search.descend();
  }
  search.descend();
  std::vector<Rank> lonely;
  for (const Rank rank : loose)
    if (self.state.partition.size(self.state.partition.of(rank)) <= small_enough_to_merge) lonely.push_back(rank);
  search.merge_around(lonely);
  search.descend();
  const std::vector<Rank> touched(search.touched().begin(), search.touched().end());
  search.settle(touched);
  self.total += search.gained();
  return {};
}

double Formation::improve(const Budget& budget) {
  Impl& self = *impl_;
  const auto agents = static_cast<Rank>(self.ids.size());
  if (agents == 0) return 0;
  LocalSearch& search = self.searches[0];
  search.begin(self.state, 0, agents, 0);
  uint64_t left = budget.evaluations;
  while (left > 0 && (budget.clock == nullptr || budget.clock->now() < budget.deadline)) {
    const uint64_t slice = std::min(left, evaluations_between_looks_at_the_clock);
    search.add_effort(slice);
    while (search.effort_left() > 0) search.kick(self.random.below(agents), self.random);
    left -= slice;
  }
  const std::vector<Rank> touched(search.touched().begin(), search.touched().end());
  search.settle(touched);
  self.total += search.gained();
  return search.gained();
}

}  // namespace skep::coalition
