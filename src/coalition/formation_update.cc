// Going on from coalitions that are there: agents that moved, and more search when there is time.

#include <algorithm>
#include <array>
#include <cassert>

#include "coalition/formation.h"
#include "coalition/formation_impl.h"

namespace skep::coalition {
namespace {

constexpr size_t searched_together = 256;      // fewer agents than this are searched around by one thread
constexpr size_t ranks_at_a_time = 256;        // their rows and notes, and their neighbours', fit a core's cache
constexpr uint32_t small_enough_to_merge = 2;  // coalitions of those who moved, to look where they could go as one
constexpr uint64_t evaluations_between_looks_at_the_clock = 2000;

// Calls visit(some) with agents of [begin, end) that are near each other, again and again until all were visited.
template <typename F>
void visit_by_place(std::span<const Rank> agents, Rank begin, Rank end, F&& visit) {
  std::vector<uint32_t> at((end - begin) / ranks_at_a_time + 1, 0);
  for (const Rank agent : agents) ++at[(agent - begin) / ranks_at_a_time];
  for (uint32_t sum = 0; uint32_t & count : at) sum += std::exchange(count, sum);
  std::vector<Rank> sorted(agents.size());
  for (const Rank agent : agents) sorted[at[(agent - begin) / ranks_at_a_time]++] = agent;
  uint32_t from = 0;
  for (const uint32_t to : at) {
    if (to > from) visit(std::span<const Rank>(sorted).subspan(from, to - from));
    from = to;
  }
}

}  // namespace

// What an update does with the agents that moved or changed. Blocks of ranks are worked on in parallel, each within
// itself; what lies between them is left to one thread.
class Formation::Update {
 public:
  // `loose` ascend, each once.
  Update(Impl& formation, std::span<const Rank> loose);
  void run(std::span<const Impl::Step> steps);

 private:
  struct Block {
    std::span<const Rank> loose;
    Links::Part part;
    std::vector<Rank> waiting, postponed;
  };

  void in_block(uint32_t number, uint32_t worker, void (Update::*work)(Block&, LocalSearch&));
  void leave(Block& block, LocalSearch& search);
  void leave_across_blocks();
  void attach();
  void search(Block& block, LocalSearch& search);
  void search_across_blocks();
  void search_from(std::span<const Rank> agents, Rank begin, Rank end, LocalSearch& search);

  Impl& self_;
  std::span<const Rank> loose_;
  size_t size_;  // of a block, the last one's may be less
  std::vector<Block> blocks_;
  std::vector<double> gained_;  // by block
  std::vector<Rank> waiting_;   // for the search across blocks
};

Formation::Update::Update(Impl& formation, std::span<const Rank> loose)
    : self_(formation),
      loose_(loose),
      size_(loose.size() < searched_together ? formation.ids.size() : block_size(formation.ids.size())) {
  const size_t agents = self_.ids.size();
  blocks_.resize((agents + size_ - 1) / size_);
  gained_.assign(blocks_.size(), 0);
  for (size_t b = 0, at = 0; b < blocks_.size(); ++b) {
    Block& block = blocks_[b];
    block.part.begin = static_cast<Rank>(b * size_);
    block.part.end = static_cast<Rank>(std::min(agents, (b + 1) * size_));
    const size_t first = at;
    while (at < loose.size() && loose[at] < block.part.end) ++at;
    block.loose = loose.subspan(first, at - first);
  }
}

// Those who move or changed first leave their coalitions while the links are still the old ones. Then no link inside a
// coalition changes, so that every sum of links inside stays true; and last, they look for the best place to go.
void Formation::Update::run(std::span<const Impl::Step> steps) {
  const auto blocks = static_cast<uint32_t>(blocks_.size());
  if (blocks > 1) {
    self_.state.clear_crossing();
    self_.pool->run(
        blocks, [&](uint32_t b, uint32_t) { self_.state.mark_crossing(blocks_[b].part.begin, blocks_[b].part.end); });
  }
  self_.links.loosen(loose_);
  // Cells have nothing to do with links until these are filled again: one thread moves agents there meanwhile.
  self_.pool->run(blocks + 1, [&](uint32_t chunk, uint32_t worker) {
    if (chunk == 0) {
      self_.move(steps);
    } else {
      in_block(chunk - 1, worker, &Update::leave);
    }
  });
  leave_across_blocks();
  attach();
  self_.pool->run(blocks, [&](uint32_t b, uint32_t worker) { in_block(b, worker, &Update::search); });
  search_across_blocks();
  for (const double gained : gained_) self_.total += gained;
}

void Formation::Update::in_block(uint32_t number, uint32_t worker, void (Update::*work)(Block&, LocalSearch&)) {
  Block& block = blocks_[number];
  LocalSearch& search = self_.searches[worker];
  search.begin(self_.state, block.part.begin, block.part.end, evaluations_per_agent * (block.loose.size() + 1));
  if (blocks_.size() > 1) search.confine();
  (this->*work)(block, search);
  gained_[number] += search.gained();
  block.postponed.assign(search.postponed().begin(), search.postponed().end());
}

// Out of coalitions and out of neighbours' rows, while these are in the cache for the one and for the other.
void Formation::Update::leave(Block& block, LocalSearch& search) {
  const auto ahead = [&](size_t i, size_t by, auto&& prefetch) {
    if (i + by < block.loose.size()) prefetch(block.loose[i + by]);
  };
  for (size_t i = 0; i < block.loose.size(); ++i) {
    ahead(i, 4, [&](Rank agent) { self_.links.prefetch(agent); });
    ahead(i, 1, [&](Rank agent) {
      self_.links.prefetch_rows_around(agent);
      for (const Link& link : self_.links.row(agent)) self_.state.partition.prefetch(link.to);
    });
    search.leave(block.loose[i]);
    self_.links.detach(block.loose[i], block.part);
  }
  block.waiting = search.take_queue();
}

// A loose agent's own row is still what it was: all that leaving needs.
void Formation::Update::leave_across_blocks() {
  LocalSearch& whole = self_.searches[0];
  whole.begin(self_.state, 0, static_cast<Rank>(self_.ids.size()), 0);
  for (Block& block : blocks_) {
    for (const Rank rank : block.postponed) {
      whole.leave(rank);
      const Coalition alone = self_.state.partition.of(rank);
      self_.state.crosses[alone] = alone / size_ != rank / size_ ? 1 : 0;
    }
    self_.links.finish_detaching(block.part);
  }
  self_.total += whole.gained();
  waiting_ = whole.take_queue();
}

void Formation::Update::attach() {
  self_.pool->run(static_cast<uint32_t>(blocks_.size()), [&](uint32_t b, uint32_t) {
    constexpr size_t behind = 2;  // while the rows of neighbours come closer
    const std::span<const Rank> loose = blocks_[b].loose;
    for (size_t i = 0; i < loose.size() + behind; ++i) {
      if (i < loose.size()) {
        self_.links.fill(loose[i], blocks_[b].part);
        self_.links.prefetch_ends_around(loose[i], blocks_[b].part);
      }
      if (i >= behind) self_.links.attach(loose[i - behind], blocks_[b].part);
    }
  });
  for (Block& block : blocks_) self_.links.finish_attaching(block.part);
  self_.links.fasten(loose_);
}

void Formation::Update::search(Block& block, LocalSearch& search) {
  block.waiting.insert(block.waiting.end(), block.loose.begin(), block.loose.end());
  search_from(block.waiting, block.part.begin, block.part.end, search);
}

void Formation::Update::search_across_blocks() {
  const auto agents = static_cast<Rank>(self_.ids.size());
  LocalSearch& whole = self_.searches[0];
  whole.begin(self_.state, 0, agents, evaluations_per_agent * (loose_.size() + 1));
  for (const Block& block : blocks_) waiting_.insert(waiting_.end(), block.postponed.begin(), block.postponed.end());
  search_from(waiting_, 0, agents, whole);
  self_.total += whole.gained();
}

// Finds places for those who have moved and are alone, and for those they left. What those near each other do is
// finished before others are looked at: all that it takes is in the cache then.
void Formation::Update::search_from(std::span<const Rank> agents, Rank begin, Rank end, LocalSearch& search) {
  std::vector<Rank> news;
  visit_by_place(agents, begin, end, [&](std::span<const Rank> group) {
    for (const Rank rank : group) search.wake(rank);
    search.descend();
    const Partition& partition = self_.state.partition;
    news.clear();
    for (const Rank rank : group)
      if (partition.size(partition.of(rank)) <= small_enough_to_merge) news.push_back(rank);
    search.merge_around(news);
    search.descend();
    news.assign(search.touched().begin(), search.touched().end());
    news.insert(news.end(), group.begin(), group.end());
    search.clear_touched();
    search.settle(news);
  });
  search.take_queue();
}

// What the moves are in the index.
Result<std::vector<Formation::Impl::Step>> Formation::Impl::steps_of(std::span<const Move> moves) {
  // In the order of places all that follows finds what it reads near to what it read before.
  keyed.clear();
  for (const Move& move : moves) {
    if (move.agent >= ids.size())
      return fail(ErrorCode::invalid_argument, fmt::format("agent {} moved: there are {}", move.agent, ids.size()));
    keyed.emplace_back(ranks[move.agent], static_cast<uint32_t>(keyed.size()));
  }
  radix_sort(keyed, scratch);
  // Of an agent that moved more than once the last move counts.
  const auto again = std::unique(keyed.rbegin(), keyed.rend(),
                                 [](const KeyedItem& a, const KeyedItem& b) { return a.first == b.first; });
  keyed.erase(keyed.begin(), again.base());

  std::vector<Step> steps(keyed.size());
  constexpr size_t block = 64;
  pool->run(static_cast<uint32_t>((steps.size() + block - 1) / block), [&](uint32_t number, uint32_t) {
    const size_t begin = number * block, size = std::min(steps.size() - begin, block);
    std::array<Position, block> positions;
    std::array<CellKey, block> found;
    for (size_t i = 0; i < size; ++i) positions[i] = moves[keyed[begin + i].second].to;
    grid.cells({positions.data(), size}, {found.data(), size});
    for (size_t i = 0; i < size; ++i) {
      const auto rank = static_cast<Rank>(keyed[begin + i].first);
      const uint32_t from = cells.cell_of(rank);
      steps[begin + i] = {found[i], from, cells.key(from) == found[i] ? from : cells.find(found[i]), rank};
    }
  });
  for (size_t i = 0; i < steps.size(); ++i) {
    const Move& move = moves[keyed[i].second];
    if (steps[i].key == 0)
      return fail(ErrorCode::invalid_argument,
                  fmt::format("agent {} to ({}, {}): no such position", move.agent, move.to.x, move.to.y));
  }
  std::erase_if(steps, [](const Step& step) { return step.from == step.to; });
  return steps;
}

void Formation::Impl::move(std::span<const Step> steps) {
  constexpr size_t ahead = 8;  // about what one miss of the caches takes
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i + ahead < steps.size()) cells.prefetch(steps[i + ahead].rank, steps[i + ahead].to);
    cells.move(steps[i].rank, steps[i].key, steps[i].to);
  }
}

Status Formation::update(std::span<const Move> moves, std::span<const Agent> changed) {
  Impl& self = *impl_;
  for (const Agent agent : changed)
    if (agent >= self.ids.size())
      return fail(ErrorCode::invalid_argument, fmt::format("agent {} changed: there are {}", agent, self.ids.size()));
  SKEP_TRY(const std::vector<Impl::Step> steps, self.steps_of(moves));
  std::vector<Rank> loose;
  loose.reserve(steps.size() + changed.size());
  for (const Impl::Step& step : steps) loose.push_back(step.rank);
  for (const Agent agent : changed) loose.push_back(self.ranks[agent]);
  // When an agent leaves a crowd, another comes down to its floor and so gets other neighbours.
  for (const Impl::Step& step : steps) {
    const auto crowd = self.cells.members(step.from);
    if (crowd.size() > CellIndex::floor_size) loose.insert(loose.end(), crowd.begin(), crowd.end());
  }
  if (loose.size() > steps.size()) {  // else they ascend already
    std::sort(loose.begin(), loose.end());
    loose.erase(std::unique(loose.begin(), loose.end()), loose.end());
  }
  if (!loose.empty()) Update(self, loose).run(steps);
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
