#include "mind/belief/packed_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "mind/belief/compact_beliefs.h"
#include "mind/belief/sparse_beliefs.h"

namespace skep::belief {
namespace {

std::unique_ptr<RowStore> make_store(const PopulationOptions& o, uint32_t rows, size_t states) {
  if (o.rows == RowStorage::sparse) return std::make_unique<SparseBeliefs>(rows, states, o.prune);
  // Of a tolerance that nothing exceeds all rows are bytes.
  const double tolerance = o.rows == RowStorage::edge ? kAnyError : *o.tolerance;
  return std::make_unique<CompactBeliefs>(rows, states, tolerance);
}

}  // namespace

PackedRows::PackedRows(const PopulationOptions& o, StateFile& state, size_t states, size_t stride, int threads)
    : state_(state),
      states_(states),
      stride_(stride),
      threads_(static_cast<uint32_t>(threads)),
      unpacked_((size_t{threads_} * (kChunk + 1) + 2) * stride),
      place_(o.capacity, threads_ * kChunk),
      error_(o.capacity) {
  if (const uint32_t element = state_.layout().element; o.history_beliefs && element < sizeof(float))
    history_.emplace(states_, element);
  if (state_.durable() && o.rows == RowStorage::sparse) {
    sparse_ = std::make_unique<SparseRows>(state_, states_, o.prune);
    return;
  }
  if (state_.durable()) {
    fixed_.emplace(states_, state_.layout().element);
    return;
  }
  for (uint32_t first = 0; first < o.capacity; first += kChunk)
    stores_.push_back(make_store(o, std::min(kChunk, o.capacity - first), states_));
}

std::byte* PackedRows::stored(uint32_t slot, uint32_t side) const {
  const StateLayout& l = state_.layout();
  return state_.beliefs() + (size_t{slot} * l.sides + side) * l.stride * l.element;
}

void PackedRows::unpack(uint32_t slot, uint32_t side, uint32_t thread, uint32_t i) {
  place_[slot] = thread * kChunk + i;
  load(slot, side, row(slot));
}

void PackedRows::load(uint32_t slot, uint32_t side, float* row) const {
  if (sparse_) {
    sparse_->load(slot, side, {row, states_});
  } else if (fixed_) {
    fixed_->load(stored(slot, side), {row, states_});
  } else {
    stores_[slot / kChunk]->load(slot % kChunk, {row, states_});
  }
}

Result<double> PackedRows::keep(uint32_t slot, uint32_t side, std::span<const float> belief, uint32_t thread) {
  if (sparse_) return sparse_->store(slot, side, belief);
  if (fixed_) return fixed_->store(belief, stored(slot, side), {scratch(thread), states_});
  return stores_[slot / kChunk]->store(slot % kChunk, belief);
}

void PackedRows::store(uint32_t slot, uint32_t side, const float* row, double error, uint32_t thread) {
  const Result<double> packing = keep(slot, side, {row, states_}, thread);
  if (!packing) {
    const std::scoped_lock lock(mutex_);
    if (status_) status_ = fail(packing.error());
    return;
  }
  error_[slot] = static_cast<float>(std::min(kAnyError, error + *packing));
  if (sparse_) sparse_->set_error(slot, side, error_[slot]);
  if (fixed_) FixedRows::set_error(stored(slot, side), error_[slot]);
}

void PackedRows::remember(uint32_t slot, uint32_t side, std::byte* entry, uint32_t thread) const {
  if (history_) {
    history_->store({row(slot), states_}, entry, {scratch(thread), states_});
    FixedRows::set_error(entry, error_[slot]);
  } else {
    load(slot, side, reinterpret_cast<float*>(entry));
  }
}

std::span<const float> PackedRows::recall(const std::byte* entry) const {
  if (!history_) return {reinterpret_cast<const float*>(entry), states_};
  const std::span<float> row(unpacked(size_t{threads_} * kChunk + 1), states_);
  history_->load(entry, row);
  return row;
}

void PackedRows::erase(uint32_t slot) {
  if (!stores_.empty()) stores_[slot / kChunk]->erase(slot % kChunk);
}

Status PackedRows::restore_error(uint32_t slot, uint32_t side) {
  error_[slot] = sparse_ ? sparse_->error(slot, side) : FixedRows::error(stored(slot, side));
  if (!(error_[slot] >= 0 && error_[slot] <= 2))
    return fail(ErrorCode::corrupt, fmt::format("row {} is damaged", slot));
  return {};
}

size_t PackedRows::bytes() const {
  size_t n = unpacked_.bytes() + place_.capacity() * sizeof(place_[0]) + error_.capacity() * sizeof(error_[0]);
  for (const auto& rows : stores_) n += static_cast<size_t>(rows->bytes().count);
  return n;
}

}  // namespace skep::belief
