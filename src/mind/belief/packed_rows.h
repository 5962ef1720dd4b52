#pragma once
// The rows of a population that keeps them packed (RowStorage): where they lie between steps, in memory or in a state
// file, where they are unpacked for one, and the error that each agent carries. In memory rows lie in stores, one for
// each chunk of slots; in a file at a place that slot and side name.
// Internal to mind/belief. Thread: as said at each function; slots of one chunk belong to one thread.

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "mind/belief/aligned_array.h"
#include "mind/belief/fixed_rows.h"
#include "mind/belief/population.h"
#include "mind/belief/row_store.h"
#include "mind/belief/sparse_rows.h"
#include "mind/belief/state_file.h"

namespace skep::belief {

// Agents per unit of parallel work: their rows fit a second-level cache, and 10,000 agents make 20 chunks.
inline constexpr uint32_t kChunk = 512;

inline constexpr double kAnyError = 2;  // no two distributions are further apart, in L1

class PackedRows {
 public:
  // `stride`: entries of an unpacked row. `state` stays.
  PackedRows(const PopulationOptions& options, StateFile& state, size_t states, size_t stride, int threads);

  // Where a slot's row is from unpack() to pack(): the i-th place of a thread.
  [[nodiscard]] float* row(uint32_t slot) const { return unpacked(place_[slot]); }
  void unpack(uint32_t slot, uint32_t side, uint32_t thread, uint32_t i);
  // For one row between steps.
  [[nodiscard]] float* spare() const { return unpacked(size_t{threads_} * kChunk); }
  void load(uint32_t slot, uint32_t side, float* row) const;
  // Packs a row, and carries on from this error. Where the disk is full, failed() says so from then on.
  void store(uint32_t slot, uint32_t side, const float* row, double error, uint32_t thread = 0);
  void erase(uint32_t slot);
  // Writes the row that was just stored to an entry of the history, and reads such an entry, until the next call.
  void remember(uint32_t slot, uint32_t side, std::byte* entry, uint32_t thread) const;
  [[nodiscard]] std::span<const float> recall(const std::byte* entry) const;

  [[nodiscard]] double error(uint32_t slot) const { return static_cast<double>(error_[slot]); }
  // Whether slots of one chunk may be packed by several threads.
  [[nodiscard]] bool any_thread() const { return stores_.empty(); }
  // The first failure of store(): rows are not what they should be any more. Between steps.
  [[nodiscard]] const Status& status() const { return status_; }

  // Of a file that was opened: `side_of(slot)` is the committed row, or nothing of an empty slot.
  template <typename SideOf>
  Status restore(SideOf&& side_of) {
    if (sparse_) SKEP_CHECK(sparse_->restore(side_of));
    for (uint32_t slot = 0; slot < error_.size(); ++slot) {
      if (const std::optional<uint32_t> side = side_of(slot)) SKEP_CHECK(restore_error(slot, *side));
    }
    return {};
  }

  [[nodiscard]] size_t bytes() const;

 private:
  [[nodiscard]] float* unpacked(size_t place) const { return const_cast<float*>(unpacked_.data()) + place * stride_; }
  // What a thread packs in.
  [[nodiscard]] float* scratch(uint32_t thread) const { return unpacked(size_t{threads_} * kChunk + 2 + thread); }
  [[nodiscard]] std::byte* stored(uint32_t slot, uint32_t side) const;  // of a size, in a file
  Status restore_error(uint32_t slot, uint32_t side);
  Result<double> keep(uint32_t slot, uint32_t side, std::span<const float> belief, uint32_t thread);

  StateFile& state_;
  size_t states_, stride_;
  uint32_t threads_;
  // One of these three.
  std::vector<std::unique_ptr<RowStore>> stores_;
  std::optional<FixedRows> fixed_;
  std::unique_ptr<SparseRows> sparse_;
  std::optional<FixedRows> history_;  // how its rows lie; none: f32
  AlignedArray<float> unpacked_;      // rows: a chunk for each thread, spare(), one for recall(), one for each thread
  std::vector<uint32_t> place_;       // by slot: the unpacked row, during its step
  std::vector<float> error_;          // by slot
  std::mutex mutex_;
  Status status_;  // under the mutex in a step
};

}  // namespace skep::belief
