#pragma once
// Who owns which KV cells. A running sequence has a slot (a sequence id) with cells of its own behind those that it
// took over; everything that may be taken over by others lies in the nodes of a prefix tree, each under an id of its
// own. Taking over is tagging cells (Forward::share), so a common preamble exists once, however many run on it.
//
//   ids      0 … slots-1: running sequences     slots … limits.sequences-1: nodes
//   cells    used() = Σ resident nodes + Σ slots' own
//
// Nodes that no running sequence holds (pins) are evicted by value: uses per second since the last one, leaves first,
// those that a suspended sequence comes back to last; to the parking lot where there is one, else for good. Where the
// memory can't share (recurrent, sliding window), nothing is taken over and nothing kept: every prompt is evaluated
// whole. A node that is larger than what may wait in host memory goes to disk in pieces, which are nodes from then on.

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "engine/forward.h"
#include "engine/parking.h"
#include "engine/prefix_tree.h"

namespace skep::engine {

using Slot = SequenceId;

class KvCache {
 public:
  // `slots` < limits().sequences. Neither is owned. `parking` may be null.
  KvCache(Forward& forward, int slots, const Clock& clock, Parking* parking = nullptr);

  [[nodiscard]] int free_cells() const { return std::min(forward_.limits().cells - used_, forward_.free_cells()); }
  [[nodiscard]] int used_cells() const { return used_; }
  // What eviction could free at most, on top of free_cells().
  [[nodiscard]] int evictable_cells();

  // How many of `tokens` a new sequence would find, in cells or parked.
  [[nodiscard]] int known(const Scope& scope, std::span<const Token> tokens);

  // An empty slot takes over what is known of `tokens`, restoring what is parked where that pays. Returns how many.
  int take(Slot slot, const Scope& scope, std::span<const Token> tokens);

  // `count` tokens more were evaluated in `slot`. Room was made before.
  void advance(Slot slot, int count);

  // All that `slot` has evaluated (`tokens`, exactly) can be taken over by others from now on.
  void publish(Slot slot, const Scope& scope, std::span<const Token> tokens);

  // The slot is empty afterwards; what was published stays while there is room.
  void release(Slot slot);

  // publish() and release() of a sequence that goes on later: what was published is the last to be evicted until a slot
  // takes it over again. What is gone by then is evaluated again.
  void suspend(Slot slot, const Scope& scope, std::span<const Token> tokens);

  // Evicts until `cells` are free. False: what is left is held.
  bool make_room(int cells);

  // Entries that an earlier worker parked, beginnings first. False: what it continues is not known; drop it.
  bool adopt(const Scope& scope, std::span<const Token> prefix, int begin, Parking::Ticket ticket);

  // Parks up to `count` nodes that are in the cache and not parked yet, without evicting them. Returns how many there
  // were: for idle moments, so that a worker that is killed leaves what its agents need.
  int park_copies(int count);

  // The slot gives up its own cells at [length, evaluated): a refused draft.
  void truncate(Slot slot, int length, int evaluated);

  // What park_copies() would still have to save: an estimate in bytes.
  [[nodiscard]] int64_t unparked_bytes();

  [[nodiscard]] int nodes() const { return tree_.nodes(); }
  [[nodiscard]] int shared_tokens(Slot slot) const { return slots_[static_cast<size_t>(slot)].shared; }

 private:
  // Counts in a node as long as it lives: the node and all above it stay in the cache.
  class Pin {
   public:
    Pin() = default;
    explicit Pin(PrefixNode& node) : node_(&node) { ++node.pins; }
    Pin(Pin&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    Pin& operator=(Pin&& other) noexcept {
      std::swap(node_, other.node_);
      return *this;
    }
    ~Pin() {
      if (node_ != nullptr) --node_->pins;
    }

   private:
    PrefixNode* node_ = nullptr;
  };
  struct Running {
    Pin pin;         // the deepest node that was taken over or published
    int shared = 0;  // tokens that lie in nodes, from position 0
    int own = 0;     // cells of the slot alone
  };
  std::optional<SequenceId> free_id();
  PrefixNode* weakest();
  void evict(PrefixNode& leaf);
  void publish_part(Slot slot, const Scope& scope, std::span<const Token> tokens);
  std::vector<Parking::Ticket> park(PrefixNode& node, int piece);
  int piece_of(const PrefixNode& node);
  bool forget(PrefixNode& node);
  void sweep();
  void settle(PrefixNode& node, SequenceId id);
  PrefixNode* cut(PrefixNode& node, int at);
  bool revive(PrefixNode& node, Slot slot);
  bool restore(PrefixNode& node);
  [[nodiscard]] bool known(const PrefixNode& node) const;
  [[nodiscard]] double value(const PrefixNode& node) const;

  Forward& forward_;
  const Clock& clock_;
  Parking* parking_;
  PrefixTree tree_;
  std::vector<Running> slots_;
  std::vector<SequenceId> free_ids_;
  int used_ = 0;
  int nodes_swept_ = 0;      // nodes that were left by the last sweep()
  int64_t token_bytes_ = 0;  // that saving takes, the most that was seen; 0: none was saved
};

}  // namespace skep::engine
