#pragma once
// Beliefs at the precision they need (requirement B2): each row is kept in bytes, bfloat16 or f32, whichever is the
// smallest whose L1 error is within `tolerance`. Sharp and flat beliefs mostly fit bytes; what lies between takes more.
// The error of a stored row is measured, not assumed: store() returns it, and it never exceeds the tolerance.
// Bounds of the formats themselves: bytes S / 510; bfloat16 2^-7 (2^-8 of rounding, doubled by renormalising); f32
// none. Rows of one format are pooled; store() is O(S) and reuses the freed place of the row's former format.

#include <cstdint>
#include <span>
#include <vector>

#include "mind/belief/row_store.h"

namespace skep::belief {

enum class BeliefFormat : uint8_t { none, byte, bfloat16, f32 };

class CompactBeliefs final : public RowStore {
 public:
  CompactBeliefs(uint32_t capacity, size_t states, double tolerance);

  double store(uint32_t slot, std::span<const float> belief) override;
  void load(uint32_t slot, std::span<float> out) const override;  // sums to 1
  void erase(uint32_t slot) override;

  [[nodiscard]] BeliefFormat format(uint32_t slot) const { return places_[slot].format; }
  [[nodiscard]] Bytes bytes() const override;

 private:
  struct Place {
    BeliefFormat format = BeliefFormat::none;
    uint32_t row = 0;
  };
  template <typename T>
  struct Rows {
    std::vector<T> data;
    std::vector<uint32_t> free;
  };
  template <typename T>
  static uint32_t take(Rows<T>& rows, size_t states);

  size_t states_;
  double tolerance_;
  std::vector<Place> places_;
  Rows<uint8_t> bytes_;
  Rows<uint16_t> halves_;
  Rows<float> floats_;
  std::vector<uint8_t> as_bytes_;
  std::vector<uint16_t> as_halves_;
  std::vector<float> scratch_;
};

}  // namespace skep::belief
