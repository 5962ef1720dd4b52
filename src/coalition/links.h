#pragma once
// Each agent's neighbours with the synergy to them, one row per agent: what local search reads.
//
// Agents are numbered here by rank, their place in the order of cells, so that neighbours in space are neighbours in
// memory. `ids` translates to the caller's numbers.
//
// Agents that move are detached, moved in the cells, and attached again, which edits the rows of their old and their
// new neighbours. Reading is safe from several threads while nobody writes.

#include <cstdint>
#include <span>
#include <vector>

#include "coalition/cell_index.h"
#include "coalition/value.h"
#include "kernel/thread_pool.h"

namespace skep::coalition {

using Rank = uint32_t;

struct Link {
  Rank to = 0;
  float weight = 0;
};

class Links {
 public:
  // Rows from cells. The three must outlive this object or the next rebuild; `synergy` may be null (all weights 0).
  void rebuild(const CellIndex& cells, const PairSynergy* synergy, std::span<const Agent> ids,
               kernel::ThreadPool& pool);

  // Rows from a list of edges; each pair once, no loops.
  struct Edge {
    Rank a = 0;
    Rank b = 0;
    float weight = 0;
  };
  void rebuild(size_t agents, std::span<const Edge> edges);

  [[nodiscard]] size_t agents() const { return rows_.size(); }
  [[nodiscard]] std::span<const Link> row(Rank agent) const {
    const Row& row = rows_[agent];
    return {pool_.data() + row.first, row.count};
  }

  // Brings the agent's row closer.
  void prefetch(Rank agent) const;

  // Takes agents out of the graph: their rows are empty, and they are in no row. `agents` ascend, each once.
  void detach(std::span<const Rank> agents, kernel::ThreadPool& pool);
  // Puts all that were detached back, where the cells say they are now.
  void attach(std::span<const Rank> agents, kernel::ThreadPool& pool);

 private:
  struct Row {
    uint32_t first = 0;  // into pool_
    uint32_t count = 0;
    uint32_t capacity = 0;
  };
  uint32_t fill(Rank agent, Link* out) const;
  void reserve(Row& row, uint32_t capacity);
  // Calls edit(part, link, agent) for the links of `agents` to those who stay attached, so that no two threads are at
  // one row, and in the same order for every row, whatever the number of threads.
  template <typename F>
  void for_each_attached(std::span<const Rank> agents, kernel::ThreadPool& pool, F&& edit);

  const CellIndex* cells_ = nullptr;
  const PairSynergy* synergy_ = nullptr;
  std::span<const Agent> ids_;
  std::vector<Row> rows_;
  std::vector<Link> pool_;
  std::vector<uint8_t> detached_;  // by agent
};

}  // namespace skep::coalition
