#pragma once
// Sparse rows in a state file: for each row a head of one size, and what is believed in a block of the file's heap, as
// (state, probability) pairs while those are smaller than a full row, else as the full row (f32). What is dropped, and
// the error of that, is as in sparse_beliefs.h: a row here has the bits that it has in memory.
//
// Crashes: a step writes heads and blocks of the side that is not committed, and a block is given away only by such a
// head, so what the committed state needs is never overwritten. Which blocks are free is not in the file: restore()
// finds it out from the committed heads.
// Internal to mind/belief. Thread: store() and load() of different slots at a time; a store that needs another block
// takes a lock, and seldom memory.

#include <cstdint>
#include <mutex>
#include <span>

#include "base/result.h"
#include "mind/belief/block_heap.h"
#include "mind/belief/state_file.h"

namespace skep::belief {

class SparseRows {
 public:
  // `state` stays; its layout has kSparseRows.
  SparseRows(StateFile& state, size_t states, double prune);

  // Of a file that was opened. `side_of(slot)`: the committed row, or nothing of an empty slot. Whatever else there was
  // is forgotten. Fails where a row can't be one.
  template <typename SideOf>
  Status restore(SideOf&& side_of) {
    std::vector<BlockHeap::Block> taken;
    for (uint32_t slot = 0; slot < state_.layout().capacity; ++slot) {
      const std::optional<uint32_t> side = side_of(slot);
      for (uint32_t each = 0; each < state_.layout().sides; ++each) {
        if (side != each) *state_.head(slot, each) = {};
      }
      if (side) SKEP_CHECK(take_back(slot, *side, taken));
    }
    if (!heap_.restore(std::move(taken))) return fail(ErrorCode::corrupt, "sparse rows overlap");
    return {};
  }

  // The L1 error of what is kept. Fails, with the row as it was, where the disk is full.
  Result<double> store(uint32_t slot, uint32_t side, std::span<const float> belief);
  void load(uint32_t slot, uint32_t side, std::span<float> out) const;
  [[nodiscard]] float error(uint32_t slot, uint32_t side) const { return state_.head(slot, side)->error; }
  void set_error(uint32_t slot, uint32_t side, float error) { state_.head(slot, side)->error = error; }

 private:
  struct Entry {
    uint32_t state;
    float p;
  };
  static_assert(sizeof(Entry) == 8);
  Status take_back(uint32_t slot, uint32_t side, std::vector<BlockHeap::Block>& taken);
  // A block for so much, instead of the one that the head has.
  Status change_block(RowHead& head, size_t bytes);

  StateFile& state_;
  size_t states_;
  float prune_;
  std::mutex mutex_;
  BlockHeap heap_;  // under the mutex
};

}  // namespace skep::belief
