#include "mind/belief/fixed_rows.h"

#include <cassert>
#include <cmath>
#include <cstring>

#include "mind/belief/rounding.h"

namespace skep::belief {
namespace {

constexpr double kHalfError = 0x1p-7;
constexpr size_t kHead = sizeof(float);

double byte_error(size_t states) { return static_cast<double>(states) / (2 * kUnits); }

}  // namespace

std::optional<FixedRows> FixedRows::choose(size_t states, double tolerance) {
  if (byte_error(states) <= tolerance) return FixedRows(states, 1);
  if (kHalfError <= tolerance) return FixedRows(states, 2);
  return std::nullopt;
}

uint32_t FixedRows::stride() const {
  const size_t bytes = (kHead + states_ * entry_ + 3) / 4 * 4;
  return static_cast<uint32_t>(bytes / entry_);
}

double FixedRows::tolerance() const { return entry_ == 1 ? byte_error(states_) : kHalfError; }

double FixedRows::store(std::span<const float> belief, std::byte* row, std::span<float> scratch) const {
  assert(belief.size() == states_ && scratch.size() >= states_);
  if (entry_ == 1) {
    round_to_bytes(belief.data(), states_, reinterpret_cast<uint8_t*>(row + kHead), scratch.data());
  } else {
    for (size_t s = 0; s < states_; ++s) {
      const uint16_t half = to_bfloat16(belief[s]);
      std::memcpy(row + kHead + s * 2, &half, 2);
    }
  }
  load(row, scratch.first(states_));
  double error = 0;
  for (size_t s = 0; s < states_; ++s)
    error += std::abs(static_cast<double>(scratch[s]) - static_cast<double>(belief[s]));
  return error;
}

void FixedRows::load(const std::byte* row, std::span<float> out) const {
  assert(out.size() == states_);
  if (entry_ == 1) {
    read_bytes(row + kHead, states_, out.data());
  } else {
    read_bfloat16(row + kHead, states_, out.data());
  }
}

float FixedRows::error(const std::byte* row) {
  float error = 0;
  std::memcpy(&error, row, sizeof error);
  return error;
}

void FixedRows::set_error(std::byte* row, float error) { std::memcpy(row, &error, sizeof error); }

}  // namespace skep::belief
