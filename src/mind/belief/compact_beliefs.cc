#include "mind/belief/compact_beliefs.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "mind/belief/rounding.h"

namespace skep::belief {

CompactBeliefs::CompactBeliefs(uint32_t capacity, size_t states, double tolerance)
    : states_(states),
      tolerance_(tolerance),
      places_(capacity),
      as_bytes_(states),
      as_halves_(states),
      scratch_(states) {}

template <typename T>
uint32_t CompactBeliefs::take(Rows<T>& rows, size_t states) {
  if (!rows.free.empty()) {
    const uint32_t row = rows.free.back();
    rows.free.pop_back();
    return row;
  }
  const auto row = static_cast<uint32_t>(rows.data.size() / states);
  rows.data.resize(rows.data.size() + states);
  return row;
}

double CompactBeliefs::store(uint32_t slot, std::span<const float> belief) {
  assert(slot < places_.size() && belief.size() == states_);
  erase(slot);
  Place& place = places_[slot];
  round_to_bytes(belief.data(), states_, as_bytes_.data(), scratch_.data());
  double error = 0;
  for (size_t s = 0; s < states_; ++s)
    error += std::abs(static_cast<double>(as_bytes_[s]) / kUnits - static_cast<double>(belief[s]));
  if (error <= tolerance_) {
    place = {BeliefFormat::byte, take(bytes_, states_)};
    std::copy(as_bytes_.begin(), as_bytes_.end(),
              bytes_.data.begin() + static_cast<std::ptrdiff_t>(place.row * states_));
    return error;
  }
  double sum = 0;
  for (size_t s = 0; s < states_; ++s)
    sum += static_cast<double>(from_bfloat16(as_halves_[s] = to_bfloat16(belief[s])));
  error = 0;
  for (size_t s = 0; s < states_; ++s)
    error += std::abs(static_cast<double>(from_bfloat16(as_halves_[s])) / sum - static_cast<double>(belief[s]));
  if (error <= tolerance_) {
    place = {BeliefFormat::bfloat16, take(halves_, states_)};
    std::copy(as_halves_.begin(), as_halves_.end(),
              halves_.data.begin() + static_cast<std::ptrdiff_t>(place.row * states_));
    return error;
  }
  place = {BeliefFormat::f32, take(floats_, states_)};
  std::copy(belief.begin(), belief.end(), floats_.data.begin() + static_cast<std::ptrdiff_t>(place.row * states_));
  return 0;
}

void CompactBeliefs::load(uint32_t slot, std::span<float> out) const {
  assert(slot < places_.size() && out.size() == states_ && places_[slot].format != BeliefFormat::none);
  const Place& place = places_[slot];
  const size_t at = place.row * states_;
  if (place.format == BeliefFormat::byte) {
    read_bytes(bytes_.data.data() + at, states_, out.data());
  } else if (place.format == BeliefFormat::bfloat16) {
    read_bfloat16(halves_.data.data() + at, states_, out.data());
  } else {
    std::copy_n(floats_.data.begin() + static_cast<std::ptrdiff_t>(at), states_, out.begin());
  }
}

void CompactBeliefs::erase(uint32_t slot) {
  Place& place = places_[slot];
  if (place.format == BeliefFormat::byte) bytes_.free.push_back(place.row);
  if (place.format == BeliefFormat::bfloat16) halves_.free.push_back(place.row);
  if (place.format == BeliefFormat::f32) floats_.free.push_back(place.row);
  place = {};
}

Bytes CompactBeliefs::bytes() const {
  const auto of = [](const auto& rows) {
    return rows.data.capacity() * sizeof(rows.data[0]) + rows.free.capacity() * sizeof(uint32_t);
  };
  return Bytes(static_cast<int64_t>(of(bytes_) + of(halves_) + of(floats_) + places_.capacity() * sizeof(Place)));
}

}  // namespace skep::belief
