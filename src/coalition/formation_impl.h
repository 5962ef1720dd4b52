#pragma once
// The inside of a Formation, shared by its sources: formation.cc starts over, formation_update.cc goes on.

#include <algorithm>
#include <utility>
#include <vector>

#include "base/random.h"
#include "coalition/cell_index.h"
#include "coalition/formation.h"
#include "coalition/links.h"
#include "coalition/local_search.h"
#include "coalition/radix_sort.h"

namespace skep::coalition {

constexpr uint64_t evaluations_per_agent = 64;  // bounds a search; about 8 are used

// Ranks that one search forms at a time, alone on its thread; then what lies between blocks is searched by one. Blocks
// depend on the number of agents only, so that threads change nothing. Small populations get small blocks, for a few
// hundred agents shall use two cores too.
inline size_t block_size(size_t agents) { return std::clamp<size_t>(agents / 8, 250, 16384); }

struct Formation::Impl {
  Impl(const Grid& on, ValueFunction function, FormationOptions with)
      : grid(on),
        value(std::move(function)),
        options(with),
        cells(on),
        pool(kernel::ThreadPool::create(with.threads)),
        random(with.seed),
        searches(static_cast<size_t>(pool->threads())) {}

  Status order(std::span<const Position> positions);
  void form();
  void search_seams(std::span<const std::vector<Rank>> seams);
  void small_component_of(Rank start, std::vector<Rank>& component) const;
  void search_small_components();
  // A move from one cell to another, found in the index.
  struct Step {
    CellKey key = 0;  // where to
    uint32_t from = 0;
    uint32_t to = CellIndex::no_cell;  // no_cell also where no agent has been yet
    Rank rank = 0;
  };
  // In the order of ranks, one for each agent that changes cells; fails before anything has changed.
  Result<std::vector<Step>> steps_of(std::span<const Move> moves);
  void move(std::span<const Step> steps);

  Grid grid;
  ValueFunction value;
  FormationOptions options;
  CellIndex cells;
  std::unique_ptr<kernel::ThreadPool> pool;
  Random random;
  Links links;
  State state;
  std::vector<LocalSearch> searches;  // by worker; the first also searches everything
  std::vector<Agent> ids;             // by rank
  std::vector<Rank> ranks;            // by agent
  std::vector<KeyedItem> keyed, scratch;
  std::vector<CellKey> keys;
  double total = 0;
};

}  // namespace skep::coalition
