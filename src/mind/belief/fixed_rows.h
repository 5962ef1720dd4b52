#pragma once
// Packed rows that all have one size, as state files need them: the error bound that the row carries (f32), then its
// entries in bytes (sum 255) or in bfloat16, filled up to four bytes. Internal to mind/belief.
//
// L1 error of packing: bytes at most S / 510, bfloat16 at most 2^-7 (2^-8 of rounding, doubled by renormalising).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace skep::belief {

class FixedRows {
 public:
  // The smallest of both that keeps every belief over so many states within `tolerance`; none if neither does.
  static std::optional<FixedRows> choose(size_t states, double tolerance);
  // bytes_per_entry: 1 or 2.
  FixedRows(size_t states, uint32_t bytes_per_entry) : states_(states), entry_(bytes_per_entry) {}

  [[nodiscard]] uint32_t bytes_per_entry() const { return entry_; }
  // Of a row, in entries; the error bound included.
  [[nodiscard]] uint32_t stride() const;
  // The least tolerance that choose() takes for this format.
  [[nodiscard]] double tolerance() const;

  // Returns the L1 error of what is kept. Leaves the error bound alone.
  double store(std::span<const float> belief, std::byte* row, std::span<float> scratch) const;
  void load(const std::byte* row, std::span<float> out) const;
  static float error(const std::byte* row);
  static void set_error(std::byte* row, float error);

 private:
  size_t states_;
  uint32_t entry_;
};

}  // namespace skep::belief
