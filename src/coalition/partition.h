#pragma once
// A partition of agents into coalitions, with O(1) join and leave: each coalition is a ring of its members.
//
// A coalition's number is in [0, agents). There are never more coalitions than agents, so a free number always exists
// for an agent that leaves a coalition of two or more.
//
// What a search notes about an agent lies beside its place in the ring: all of it is wanted together, and a population
// does not fit the caches, so half a cache line per neighbour is what a move costs.

#include <cassert>
#include <cstdint>
#include <limits>
#include <vector>

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
    members_.resize(agents);
    groups_.resize(agents);
    for (uint32_t i = 0; i < agents; ++i) {
      members_[i] = {{}, i, i, i};
      groups_[i] = {i, 1};
    }
  }

  [[nodiscard]] size_t agents() const { return members_.size(); }
  [[nodiscard]] Coalition of(Rank agent) const { return members_[agent].of; }
  [[nodiscard]] uint32_t size(Coalition coalition) const { return groups_[coalition].size; }
  [[nodiscard]] Notes& notes(Rank agent) { return members_[agent].notes; }
  [[nodiscard]] const Notes& notes(Rank agent) const { return members_[agent].notes; }

  // The members in ring order: for (Rank m = first(c), k = 0; k < size(c); m = next(m), ++k).
  [[nodiscard]] Rank first(Coalition coalition) const {
    assert(groups_[coalition].size > 0);
    return groups_[coalition].head;
  }
  [[nodiscard]] Rank next(Rank agent) const { return members_[agent].next; }
  void members(Coalition coalition, std::vector<Rank>& out) const {
    out.clear();
    Rank member = groups_[coalition].head;
    for (uint32_t i = 0; i < groups_[coalition].size; ++i, member = members_[member].next) out.push_back(member);
  }

  // Takes the agent out of its coalition and into `to`, which may be empty.
  void move(Rank agent, Coalition to) {
    Member& member = members_[agent];
    Group& from = groups_[member.of];
    assert(member.of != to);
    members_[member.previous].next = member.next;
    members_[member.next].previous = member.previous;
    if (from.head == agent) from.head = member.next;
    --from.size;
    Group& group = groups_[to];
    if (group.size == 0) {
      group.head = member.next = member.previous = agent;
    } else {
      const Rank head = group.head, tail = members_[head].previous;
      members_[tail].next = members_[head].previous = agent;
      member.next = head;
      member.previous = tail;
    }
    member.of = to;
    ++group.size;
  }

 private:
  struct alignas(32) Member {
    Notes notes;
    Coalition of = 0;
    Rank next = 0;
    Rank previous = 0;
  };
  struct Group {
    Rank head = 0;  // meaningless where size is 0
    uint32_t size = 0;
  };
  std::vector<Member> members_;  // by agent
  std::vector<Group> groups_;    // by coalition
};

}  // namespace skep::coalition
