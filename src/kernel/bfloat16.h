#pragma once
// bfloat16: the upper half of a float. Eight significant bits, the exponents of f32. For what is stored and not
// computed with.

#include <bit>
#include <cstdint>

namespace skep::kernel {

// Largest relative error of rounding, for numbers of at least 2^-126. Zero stays zero.
inline constexpr double kBfloat16Error = 0x1p-8;

// Round to nearest even; x is finite.
inline uint16_t to_bfloat16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float from_bfloat16(uint16_t b) { return std::bit_cast<float>(static_cast<uint32_t>(b) << 16); }

}  // namespace skep::kernel
