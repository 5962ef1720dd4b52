#include "mind/belief/sparse_beliefs.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace skep::belief {
namespace {

constexpr float kMostDropped = 0.05F;

}  // namespace

SparseBeliefs::SparseBeliefs(uint32_t capacity, size_t states, double prune)
    : states_(states), prune_(static_cast<float>(prune)), places_(capacity) {
  size_t pools = 0;
  while (row_size(pools) * sizeof(Entry) < states_ * sizeof(float)) ++pools;
  pools_.resize(pools + 1);
}

size_t SparseBeliefs::pool_of(uint32_t support) const {
  size_t pool = 0;
  while (pool + 1 < pools_.size() && row_size(pool) < support) ++pool;
  return pool;
}

Pruning Pruning::of(std::span<const float> belief, float prune) {
  uint32_t support = 0, positive = 0;
  float kept = 0, dropped = 0;
  for (const float p : belief) {
    if (p > prune) {
      ++support;
      kept += p;
    } else if (p > 0) {
      ++positive;
      dropped += p;
    }
  }
  if (dropped == 0 || dropped > kMostDropped) return {0, 1, support + positive};
  return {prune, (kept + dropped) / kept, support};
}

double SparseBeliefs::store(uint32_t slot, std::span<const float> belief) {
  assert(slot < places_.size() && belief.size() == states_);
  erase(slot);
  const Pruning pruning = Pruning::of(belief, prune_);
  Place& place = places_[slot];
  const size_t number = pool_of(pruning.support);
  Pool& pool = pools_[number];
  const bool dense = number + 1 == pools_.size();
  const size_t size = dense ? states_ : row_size(number);
  place.support = std::max(pruning.support, 1U);
  if (!pool.free.empty()) {
    place.row = pool.free.back();
    pool.free.pop_back();
  } else {
    const size_t entries = dense ? pool.dense.size() : pool.entries.size();
    place.row = static_cast<uint32_t>(entries / size);
    if (dense) pool.dense.resize(entries + size);
    if (!dense) pool.entries.resize(entries + size);
  }
  double error = 0;
  float* row = dense ? pool.dense.data() + place.row * size : nullptr;
  Entry* entry = dense ? nullptr : pool.entries.data() + place.row * size;
  if (!dense) *entry = {0, 0};  // of a row of zeros, too, something stands there
  for (size_t s = 0; s < states_; ++s) {
    const float p = pruning.kept(belief[s]);
    error += std::abs(static_cast<double>(p) - static_cast<double>(belief[s]));
    if (dense) {
      row[s] = p;
    } else if (p > 0) {
      *entry++ = {static_cast<uint32_t>(s), p};
    }
  }
  return error;
}

void SparseBeliefs::load(uint32_t slot, std::span<float> out) const {
  assert(slot < places_.size() && out.size() == states_ && places_[slot].support > 0);
  const Place& place = places_[slot];
  const size_t number = pool_of(place.support);
  if (number + 1 == pools_.size()) {
    std::copy_n(pools_[number].dense.data() + place.row * states_, states_, out.begin());
    return;
  }
  std::fill(out.begin(), out.end(), 0.0F);
  const Entry* entry = pools_[number].entries.data() + place.row * row_size(number);
  for (uint32_t i = 0; i < place.support; ++i) out[entry[i].state] = entry[i].p;
}

void SparseBeliefs::erase(uint32_t slot) {
  Place& place = places_[slot];
  if (place.support > 0) pools_[pool_of(place.support)].free.push_back(place.row);
  place = {};
}

Bytes SparseBeliefs::bytes() const {
  size_t n = places_.capacity() * sizeof(Place);
  for (const Pool& pool : pools_) {
    n += pool.entries.capacity() * sizeof(Entry) + pool.dense.capacity() * sizeof(float) +
         pool.free.capacity() * sizeof(uint32_t);
  }
  return Bytes(static_cast<int64_t>(n));
}

}  // namespace skep::belief
