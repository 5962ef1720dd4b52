#include "mind/belief/sparse_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "mind/belief/sparse_beliefs.h"

namespace skep::belief {
namespace {

constexpr size_t kGrowth = size_t{1} << 20;  // and an eighth of what there is

}  // namespace

SparseRows::SparseRows(StateFile& state, size_t states, double prune)
    : state_(state),
      states_(states),
      prune_(static_cast<float>(prune)),
      heap_(size_t{state.layout().stride} * sizeof(float)) {
  heap_.extend(state_.heap_bytes());
}

Status SparseRows::take_back(uint32_t slot, uint32_t side, std::vector<BlockHeap::Block>& taken) {
  const RowHead& head = *state_.head(slot, side);
  const auto damaged = [slot] { return fail(ErrorCode::corrupt, fmt::format("row {} is damaged", slot)); };
  const size_t full = states_ * sizeof(float);
  if (!(head.error >= 0 && head.error <= 2) || head.bytes == 0 || head.bytes > full) return damaged();
  if (head.at > state_.heap_bytes() || head.bytes > state_.heap_bytes() - head.at || head.at % 8 != 0) return damaged();
  if (head.bytes < full) {
    const auto* entry = reinterpret_cast<const Entry*>(state_.heap() + head.at);
    const size_t entries = head.bytes / sizeof(Entry);
    bool ascending = head.bytes % sizeof(Entry) == 0 && entry[entries - 1].state < states_;
    for (size_t i = 1; i < entries; ++i) ascending = ascending && entry[i - 1].state < entry[i].state;
    if (!ascending) return damaged();
  }
  taken.push_back({head.at, head.bytes});
  return {};
}

Status SparseRows::change_block(RowHead& head, size_t bytes) {
  if (head.bytes > 0 && heap_.block_bytes(head.bytes) == heap_.block_bytes(bytes)) return {};
  const std::scoped_lock lock(mutex_);
  auto at = heap_.take(bytes);
  if (!at) {
    const size_t wanted = std::max(heap_.bytes() / 8, heap_.block_bytes(bytes));
    const size_t more = (wanted + kGrowth - 1) / kGrowth * kGrowth;
    SKEP_CHECK(state_.grow_heap(more));
    heap_.extend(more);
    at = heap_.take(bytes);
    assert(at);
  }
  if (head.bytes > 0) heap_.release(head.at, head.bytes);
  head.at = *at;
  return {};
}

Result<double> SparseRows::store(uint32_t slot, uint32_t side, std::span<const float> belief) {
  assert(belief.size() == states_);
  const Pruning pruning = Pruning::of(belief, prune_);
  const size_t full = states_ * sizeof(float);
  const size_t pairs = std::max<size_t>(pruning.support, 1) * sizeof(Entry);  // of a row of zeros, too, one is kept
  const size_t bytes = std::min(pairs, full);
  RowHead& head = *state_.head(slot, side);
  SKEP_CHECK(change_block(head, bytes));
  head.bytes = static_cast<uint32_t>(bytes);
  auto* row = reinterpret_cast<float*>(state_.heap() + head.at);
  auto* entry = reinterpret_cast<Entry*>(row);
  if (bytes < full) *entry = {0, 0};
  double error = 0;
  for (size_t s = 0; s < states_; ++s) {
    const float p = pruning.kept(belief[s]);
    error += std::abs(static_cast<double>(p) - static_cast<double>(belief[s]));
    if (bytes == full) {
      row[s] = p;
    } else if (p > 0) {
      *entry++ = {static_cast<uint32_t>(s), p};
    }
  }
  return error;
}

void SparseRows::load(uint32_t slot, uint32_t side, std::span<float> out) const {
  assert(out.size() == states_);
  const RowHead& head = *state_.head(slot, side);
  const std::byte* block = state_.heap() + head.at;
  if (head.bytes == states_ * sizeof(float)) {
    std::memcpy(out.data(), block, head.bytes);
    return;
  }
  std::fill(out.begin(), out.end(), 0.0F);
  const auto* entry = reinterpret_cast<const Entry*>(block);
  for (size_t i = 0; i < head.bytes / sizeof(Entry); ++i) out[entry[i].state] = entry[i].p;
}

}  // namespace skep::belief
