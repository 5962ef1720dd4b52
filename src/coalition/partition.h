#pragma once
// A partition of agents into coalitions, with O(1) join and leave: each coalition is a ring of its members.
//
// A coalition's number is in [0, agents). There are never more coalitions than agents, so a free number always exists
// for an agent that leaves a coalition of two or more.
//
// A population does not fit the caches, and who weighs its moves wants to know of each neighbour only whose it is: that
// lies by itself, sixteen to a cache line. What a search notes about an agent is wanted where a neighbour moves, the
// place in the ring only where the agent itself does.

#include <hwy/cache_control.h>

#include <cassert>
#include <cstdint>
#include <limits>
#include <vector>

#include "coalition/large_array.h"

namespace skep::coalition {

using Rank = uint32_t;
using Coalition = uint32_t;

class Partition {
 public:
  static constexpr Coalition none = UINT32_MAX;

  struct Notes {
    double inside = 0;                                      // sum of weights of links to its own coalition
    float margin = std::numeric_limits<float>::infinity();  // no move gains more, up to changes of sizes nearby
    bool queued = false;
  };

  // Everybody alone: agent i is coalition i.
  void reset(size_t agents) {
    of_.resize(agents);
    notes_.assign(agents, {});
    ring_.resize(agents);
    groups_.resize(agents);
    for (uint32_t i = 0; i < agents; ++i) {
      of_[i] = i;
      ring_[i] = {i, i};
      groups_[i] = {i, 1};
    }
  }

  [[nodiscard]] size_t agents() const { return of_.size(); }
  [[nodiscard]] Coalition of(Rank agent) const { return of_[agent]; }
  [[nodiscard]] uint32_t size(Coalition coalition) const { return groups_[coalition].size; }
  [[nodiscard]] Notes& notes(Rank agent) { return notes_[agent]; }
  [[nodiscard]] const Notes& notes(Rank agent) const { return notes_[agent]; }

  // The members in ring order: for (Rank m = first(c), k = 0; k < size(c); m = next(m), ++k).
  [[nodiscard]] Rank first(Coalition coalition) const {
    assert(groups_[coalition].size > 0);
    return groups_[coalition].head;
  }
  [[nodiscard]] Rank next(Rank agent) const { return ring_[agent].next; }
  void members(Coalition coalition, std::vector<Rank>& out) const {
    out.clear();
    Rank member = groups_[coalition].head;
    for (uint32_t i = 0; i < groups_[coalition].size; ++i, member = ring_[member].next) out.push_back(member);
  }

  // Brings closer what joining a coalition, and what a neighbour's move, reads and writes.
  void prefetch_size(Coalition coalition) const { hwy::Prefetch(&groups_[coalition]); }
  void prefetch(Rank agent) const {
    hwy::Prefetch(&of_[agent]);
    hwy::Prefetch(&notes_[agent]);
  }

  // Takes the agent out of its coalition and into `to`, which may be empty.
  void move(Rank agent, Coalition to) {
    Place& place = ring_[agent];
    Group& from = groups_[of_[agent]];
    assert(of_[agent] != to);
    ring_[place.previous].next = place.next;
    ring_[place.next].previous = place.previous;
    if (from.head == agent) from.head = place.next;
    --from.size;
    Group& group = groups_[to];
    if (group.size == 0) {
      group.head = place.next = place.previous = agent;
    } else {
      const Rank head = group.head, tail = ring_[head].previous;
      ring_[tail].next = ring_[head].previous = agent;
      place = {head, tail};
    }
    of_[agent] = to;
    ++group.size;
  }

 private:
  struct Place {
    Rank next = 0;
    Rank previous = 0;
  };
  struct Group {
    Rank head = 0;  // meaningless where size is 0
    uint32_t size = 0;
  };
  LargeArray<Coalition> of_;  // by agent
  LargeArray<Notes> notes_;   // by agent
  LargeArray<Place> ring_;    // by agent
  LargeArray<Group> groups_;  // by coalition
};

}  // namespace skep::coalition
