#include "coalition/links.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace skep::coalition {
namespace {

constexpr size_t block_of_agents = 2048;
constexpr size_t block_of_movers = 64;
constexpr size_t edited_together = 256;  // fewer movers than this are not worth two threads
constexpr size_t edit_parts = 4;
constexpr size_t most = (4 * Grid::max_rings * (Grid::max_rings + 1) + 1) * CellIndex::floor_size;

// A row's room: some agents may arrive before it moves to a larger place.
constexpr uint32_t room(size_t links) { return static_cast<uint32_t>(links + links / 4 + 2); }

}  // namespace

void Links::rebuild(const CellIndex& cells, const PairSynergy* synergy, std::span<const Agent> ids,
                    kernel::ThreadPool& pool) {
  assert(ids.size() == cells.agents());
  cells_ = &cells;
  synergy_ = synergy;
  ids_ = ids;
  const size_t agents = ids.size(), blocks = (agents + block_of_agents - 1) / block_of_agents;
  rows_.resize(agents);
  detached_.assign(agents, 0);

  // First how long the rows are, then where they begin, then what is in them.
  std::vector<uint32_t> begins(blocks + 1, 0);
  const auto block_of = [&](size_t block) {
    return std::pair(static_cast<Rank>(block * block_of_agents),
                     static_cast<Rank>(std::min(agents, (block + 1) * block_of_agents)));
  };
  pool.run(static_cast<uint32_t>(blocks), [&](uint32_t block, uint32_t) {
    const auto [begin, end] = block_of(block);
    uint32_t sum = 0, capacity = 0, cell = CellIndex::no_cell;
    for (Rank agent = begin; agent < end; ++agent) {
      if (cells.cell_of(agent) != cell) {
        cell = cells.cell_of(agent);
        capacity = room(cells.most_neighbours(cell) - 1);
      }
      rows_[agent] = {sum, 0, capacity};
      sum += capacity;
    }
    begins[block + 1] = sum;
  });
  for (size_t block = 0; block < blocks; ++block) begins[block + 1] += begins[block];
  pool_.resize(begins[blocks]);
  pool.run(static_cast<uint32_t>(blocks), [&](uint32_t block, uint32_t) {
    const auto [begin, end] = block_of(block);
    for (Rank agent = begin; agent < end; ++agent) {
      rows_[agent].first += begins[block];
      rows_[agent].count = fill(agent, pool_.data() + rows_[agent].first);
    }
  });
}

void Links::rebuild(size_t agents, std::span<const Edge> edges) {
  cells_ = nullptr;
  rows_.assign(agents, {});
  for (const Edge& edge : edges) {
    assert(edge.a != edge.b && edge.a < agents && edge.b < agents);
    ++rows_[edge.a].capacity;
    ++rows_[edge.b].capacity;
  }
  uint32_t sum = 0;
  for (Row& row : rows_) {
    row.first = sum;
    sum += row.capacity;
  }
  pool_.resize(sum);
  for (const Edge& edge : edges) {
    pool_[rows_[edge.a].first + rows_[edge.a].count++] = {edge.b, edge.weight};
    pool_[rows_[edge.b].first + rows_[edge.b].count++] = {edge.a, edge.weight};
  }
}

// Writes the neighbours and weights; `out` has room for most_neighbours of the agent's cell.
uint32_t Links::fill(Rank agent, Link* out) const {
  std::array<Rank, most> near;
  const size_t count = cells_->neighbours(agent, near.data());
  if (synergy_ == nullptr) {
    for (size_t i = 0; i < count; ++i) out[i] = {near[i], 0};
  } else {
    std::array<Agent, most> with;
    std::array<float, most> weights;
    for (size_t i = 0; i < count; ++i) with[i] = ids_[near[i]];
    synergy_->weigh(ids_[agent], {with.data(), count}, {weights.data(), count});
    for (size_t i = 0; i < count; ++i) out[i] = {near[i], weights[i]};
  }
  return static_cast<uint32_t>(count);
}

void Links::prefetch(Rank agent) const {
  const Link* first = pool_.data() + rows_[agent].first;
  hwy::Prefetch(first);
  hwy::Prefetch(first + 8);  // of about 14 links
}

// A row that is full goes to a larger place at the end; the old one is dead until the next rebuild.
void Links::reserve(Row& row, uint32_t capacity) {
  if (capacity <= row.capacity) return;
  const auto first = static_cast<uint32_t>(pool_.size());
  pool_.resize(pool_.size() + room(capacity));
  std::copy_n(pool_.begin() + row.first, row.count, pool_.begin() + first);
  row.first = first;
  row.capacity = room(capacity);
}

// A part of the agents edits the rows of its own range of ranks, where most of its neighbours are; links beyond wait
// until all parts are done.
template <typename F>
void Links::for_each_attached(std::span<const Rank> agents, kernel::ThreadPool& pool, F&& edit) {
  assert(std::is_sorted(agents.begin(), agents.end()));
  const size_t parts = agents.size() < edited_together ? 1 : edit_parts;
  const size_t ranks = (rows_.size() + parts - 1) / parts;
  std::array<std::vector<std::pair<Rank, Link>>, edit_parts> beyond;
  pool.run(static_cast<uint32_t>(parts), [&](uint32_t part, uint32_t) {
    const size_t begin = part * ranks;
    const auto first = std::lower_bound(agents.begin(), agents.end(), begin);
    const auto last = std::lower_bound(first, agents.end(), begin + ranks);
    for (auto at = first; at != last; ++at) {
      const Rank agent = *at;
      if (last - at > 2) prefetch(at[2]);
      if (last - at > 1)
        for (const Link& link : row(at[1])) prefetch(link.to);
      for (const Link& link : row(agent)) {
        if (detached_[link.to] != 0) continue;
        if (link.to - begin < ranks) {
          edit(part, link, agent);
        } else {
          beyond[part].emplace_back(agent, link);
        }
      }
    }
  });
  for (uint32_t part = 0; part < parts; ++part) {
    for (const auto& [agent, link] : beyond[part]) edit(part, link, agent);
  }
}

void Links::detach(std::span<const Rank> agents, kernel::ThreadPool& pool) {
  assert(cells_ != nullptr);
  for (const Rank agent : agents) {
    assert(detached_[agent] == 0);
    detached_[agent] = 1;
  }
  for_each_attached(agents, pool, [this](uint32_t, const Link& link, Rank agent) {
    Row& theirs = rows_[link.to];
    Link* at = pool_.data() + theirs.first;
    while (at->to != agent) ++at;
    *at = pool_[theirs.first + --theirs.count];
  });
  for (const Rank agent : agents) rows_[agent].count = 0;
}

void Links::attach(std::span<const Rank> agents, kernel::ThreadPool& pool) {
  for (const Rank agent : agents)
    reserve(rows_[agent], static_cast<uint32_t>(cells_->most_neighbours(cells_->cell_of(agent))));
  pool.run(static_cast<uint32_t>((agents.size() + block_of_movers - 1) / block_of_movers),
           [&](uint32_t block, uint32_t) {
             for (size_t i = block * block_of_movers; i < std::min(agents.size(), (block + 1) * block_of_movers); ++i) {
               Row& row = rows_[agents[i]];
               row.count = fill(agents[i], pool_.data() + row.first);
             }
           });
  std::array<std::vector<std::pair<Rank, Link>>, edit_parts> overflow;  // to rows that are full
  for_each_attached(agents, pool, [&](uint32_t part, const Link& link, Rank agent) {
    Row& theirs = rows_[link.to];
    if (theirs.count == theirs.capacity) {
      overflow[part].push_back({link.to, {agent, link.weight}});
    } else {
      pool_[theirs.first + theirs.count++] = {agent, link.weight};
    }
  });
  for (const auto& part : overflow) {
    for (const auto& [to, link] : part) {
      Row& theirs = rows_[to];
      reserve(theirs, theirs.count + 1);
      pool_[theirs.first + theirs.count++] = link;
    }
  }
  for (const Rank agent : agents) detached_[agent] = 0;
}

}  // namespace skep::coalition
