// Going on from coalitions that are there: agents that moved, and more search when there is time.

#include <algorithm>
#include <array>
#include <cassert>

#include "coalition/formation.h"
#include "coalition/formation_impl.h"

namespace skep::coalition {
namespace {

constexpr size_t movers_at_a_time = 32;
constexpr size_t searched_together = 256;      // fewer agents than this are searched around by one thread
constexpr uint32_t small_enough_to_merge = 2;  // coalitions of those who moved, to look where they could go as one
constexpr uint64_t evaluations_between_looks_at_the_clock = 2000;

}  // namespace

// What the moves are in the index; fails before anything has changed.
Result<std::vector<Formation::Impl::Step>> Formation::Impl::steps_of(std::span<const Move> moves,
                                                                     std::span<const Agent> changed) {
  for (const Agent agent : changed)
    if (agent >= ids.size())
      return fail(ErrorCode::invalid_argument, fmt::format("agent {} changed: there are {}", agent, ids.size()));
  std::vector<Step> steps(moves.size());
  constexpr size_t block = 64;
  pool->run(static_cast<uint32_t>((moves.size() + block - 1) / block), [&](uint32_t number, uint32_t) {
    const size_t begin = number * block, size = std::min(moves.size() - begin, block);
    std::array<Position, block> positions;
    std::array<CellKey, block> found;
    for (size_t i = 0; i < size; ++i) positions[i] = moves[begin + i].to;
    grid.cells({positions.data(), size}, {found.data(), size});
    for (size_t i = 0; i < size; ++i) {
      const Agent agent = moves[begin + i].agent;
      if (agent >= ids.size()) continue;  // its key stays 0
      const Rank rank = ranks[agent];
      const uint32_t from = cells.cell_of(rank);
      const uint32_t to = cells.key(from) == found[i] ? from : cells.find(found[i]);
      steps[begin + i] = {found[i], from, to, rank};
    }
  });
  for (size_t i = 0; i < moves.size(); ++i)
    if (steps[i].key == 0)
      return fail(ErrorCode::invalid_argument, fmt::format("agent {} to ({}, {}): no such agent or position",
                                                           moves[i].agent, moves[i].to.x, moves[i].to.y));
  return steps;
}

void Formation::Impl::move(std::span<const Step> steps) {
  constexpr size_t ahead = 8;  // about what one miss of the caches takes
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i + ahead < steps.size()) cells.prefetch(steps[i + ahead].rank, steps[i + ahead].to);
    cells.move(steps[i].rank, steps[i].key, steps[i].to);
  }
}

// Those who move or changed first leave their coalitions while the links are still the old ones. Then no link inside a
// coalition changes, so that every sum of links inside stays true; and last, they look for the best place to go.
Status Formation::update(std::span<const Move> moves, std::span<const Agent> changed) {
  Impl& self = *impl_;
  SKEP_TRY(const std::vector<Impl::Step> steps, self.steps_of(moves, changed));
  std::vector<Rank> loose;
  for (const Impl::Step& step : steps) {
    if (step.from == step.to) continue;
    loose.push_back(step.rank);
    // When an agent leaves a crowd, another comes down to its floor and so gets other neighbours.
    const auto crowd = self.cells.members(step.from);
    if (crowd.size() > CellIndex::floor_size) loose.insert(loose.end(), crowd.begin(), crowd.end());
  }
  for (const Agent agent : changed) loose.push_back(self.ranks[agent]);
  std::sort(loose.begin(), loose.end());
  loose.erase(std::unique(loose.begin(), loose.end()), loose.end());
  if (!loose.empty()) self.search_around(loose, steps);
  return {};
}

// Blocks in parallel, each within itself; then one search of what lay between them.
void Formation::Impl::search_around(std::span<const Rank> loose, std::span<const Step> steps) {
  struct Block {
    std::span<const Rank> loose;
    std::vector<Rank> waiting, postponed;
    double gained = 0;
  };
  const size_t agents = ids.size();
  const size_t size = loose.size() < searched_together ? agents : block_size(agents);
  std::vector<Block> blocks((agents + size - 1) / size);
  state.mark_crossing(size);
  for (size_t b = 0, at = 0; b < blocks.size(); ++b) {
    const size_t first = at;
    while (at < loose.size() && loose[at] < (b + 1) * size) ++at;
    blocks[b].loose = loose.subspan(first, at - first);
  }
  const auto in_blocks = [&](auto&& work) {
    pool->run(static_cast<uint32_t>(blocks.size()), [&](uint32_t b, uint32_t worker) {
      LocalSearch& search = searches[worker];
      search.begin(state, static_cast<Rank>(b * size), static_cast<Rank>(std::min(agents, (b + 1) * size)),
                   evaluations_per_agent * (blocks[b].loose.size() + 1));
      if (blocks.size() > 1) search.confine();
      work(blocks[b], search);
      blocks[b].gained += search.gained();
      blocks[b].postponed.assign(search.postponed().begin(), search.postponed().end());
    });
  };
  LocalSearch& whole = searches[0];

  in_blocks([this](Block& block, LocalSearch& search) {
    constexpr size_t ahead = 4;
    for (size_t i = 0; i < block.loose.size(); ++i) {
      if (i + ahead < block.loose.size()) links.prefetch(block.loose[i + ahead]);
      search.leave(block.loose[i]);
    }
    block.waiting = search.take_queue();
  });
  whole.begin(state, 0, static_cast<Rank>(agents), 0);
  for (const Block& block : blocks) {
    for (const Rank rank : block.postponed) {
      whole.leave(rank);
      const Coalition alone = state.partition.of(rank);
      state.crosses[alone] = alone / size != rank / size ? 1 : 0;
    }
  }
  total += whole.gained();
  std::vector<Rank> waiting = whole.take_queue();

  links.detach(loose, *pool);
  move(steps);
  links.attach(loose, *pool);

  in_blocks([this](Block& block, LocalSearch& search) {
    for (const Rank rank : block.waiting) search.wake(rank);
    search_from(block.loose, search);
    search.take_queue();
  });
  whole.begin(state, 0, static_cast<Rank>(agents), evaluations_per_agent * (loose.size() + 1));
  for (const Block& block : blocks) waiting.insert(waiting.end(), block.postponed.begin(), block.postponed.end());
  for (const Rank rank : waiting) whole.wake(rank);
  search_from({}, whole);
  for (const Block& block : blocks) total += block.gained;
  total += whole.gained();
}

// Finds places for `loose`, who are alone, and for who is in the queue.
void Formation::Impl::search_from(std::span<const Rank> loose, LocalSearch& search) const {
  // A few at a time, in the order of places: those they wake are looked at while the caches still know them.
  for (size_t i = 0; i < loose.size(); ++i) {
    search.wake(loose[i]);
    if (i % movers_at_a_time == movers_at_a_time - 1) search.descend();
  }
  const std::vector<Rank> queued = search.take_queue();
  for (const Rank rank : queued) search.wake(rank);
  search.descend();
  std::vector<Rank> lonely;
  for (const std::span<const Rank> some : {loose, std::span<const Rank>(queued)}) {
    for (const Rank rank : some)
      if (state.partition.size(state.partition.of(rank)) <= small_enough_to_merge) lonely.push_back(rank);
  }
  search.merge_around(lonely);
  search.descend();
  std::vector<Rank> touched(search.touched().begin(), search.touched().end());
  touched.insert(touched.end(), queued.begin(), queued.end());
  search.settle(touched);
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
