#pragma once
// Each agent's neighbours with the synergy to them, one row per agent: what local search reads.
//
// Agents are numbered here by rank, their place in the order of cells, so that neighbours in space are neighbours in
// memory. `ids` translates to the caller's numbers. Rows lie at equal distances, in whole cache lines: one is found
// without asking a table where it is, which would be one more thing to wait for. The few that are too long for their
// places are elsewhere.
//
// Agents that move are detached, moved in the cells, and attached again, which edits the rows of their old and their
// new neighbours:
//
//   loosen(all);  detach(each, part) and finish_detaching(part);
//                 fill and attach(each, part) and finish_attaching(part);  fasten(all)
//
// A part is a range of ranks. Parts may be at work on several threads, each with its own agents, which edits the rows
// of the part alone; what is to be edited beyond waits until the parts are finished, one after the other. Rows depend
// on the parts, never on threads. Reading is safe from several threads while nobody writes.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "coalition/cell_index.h"
#include "coalition/large_array.h"
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

  [[nodiscard]] size_t agents() const { return counts_.size(); }
  [[nodiscard]] std::span<const Link> row(Rank agent) const {
    if (counts_[agent] == elsewhere) [[unlikely]]
      return long_rows_[place_of(agent)->to];
    return {place_of(agent), counts_[agent]};
  }

  // Brings the agent's row closer.
  void prefetch(Rank agent) const;
  // Likewise the rows that detaching the agent will edit.
  void prefetch_rows_around(Rank agent) const;

  struct Part {
    Rank begin = 0;
    Rank end = 0;
    struct Edit {
      Rank of = 0;  // whose row
      Link link;
    };
    std::vector<Edit> beyond;                                  // of rows in other parts, or that must move to be longer
    std::vector<std::pair<Rank, std::vector<Link>>> too_long;  // new rows, for their places
    std::vector<Link> filled;                                  // room for one row

    [[nodiscard]] bool has(Rank agent) const { return agent - begin < end - begin; }
  };
  // Brings closer the ends of rows that attaching the agent will edit.
  void prefetch_ends_around(Rank agent, const Part& part) const;

  // These agents are about to move. Until they are attached their own rows stay as they were.
  void loosen(std::span<const Rank> agents);
  // Takes a loose agent out of the rows of all that are not.
  void detach(Rank agent, Part& part);
  void finish_detaching(Part& part);
  // Fills a loose agent's row from where the cells say it is now; then puts it into the rows of all that are not loose.
  void fill(Rank agent, Part& part);
  void attach(Rank agent, Part& part);
  void finish_attaching(Part& part);
  void fasten(std::span<const Rank> agents);

 private:
  static constexpr uint16_t elsewhere = UINT16_MAX;

  [[nodiscard]] const Link* place_of(Rank agent) const { return rows_.data() + agent * room_; }
  [[nodiscard]] Link* place_of(Rank agent) { return rows_.data() + agent * room_; }

  void lay_out(size_t agents, size_t links_each);
  uint32_t neighbours(Rank agent, Link* out) const;
  bool set(Rank agent, std::span<const Link> row);
  void set_elsewhere(Rank agent, std::span<const Link> row);
  bool append(Rank of, const Link& link);
  void append_elsewhere(Rank of, const Link& link);
  void erase(Rank of, Rank agent);
  void enter(std::span<const Link> row, Rank agent, Part& part);

  const CellIndex* cells_ = nullptr;
  const PairSynergy* synergy_ = nullptr;
  std::span<const Agent> ids_;
  LargeArray<uint16_t> counts_;  // of links, by agent; or elsewhere
  size_t room_ = 0;              // links from row to row
  LargeArray<Link> rows_;        // by agent; of one that is elsewhere the first link says where in long_rows_
  std::vector<std::vector<Link>> long_rows_;
  std::vector<uint8_t> loose_;  // by agent
};

}  // namespace skep::coalition
