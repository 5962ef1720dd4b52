#pragma once
// Conversion of 16-bit floats without the instruction for it. Internal linkage on purpose: files that are compiled for
// different instruction sets include this, and must not share one copy.

#include <cstdint>
#include <cstring>

namespace skep::kernel::lm {
namespace {

// IEEE binary16 → binary32, exact; subnormals, infinities and NaN included.
[[maybe_unused]] inline float from_f16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000U) << 16;
  const uint32_t exponent = (h >> 10) & 31U, mantissa = h & 1023U;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000U | (mantissa << 13) | (mantissa != 0 ? 0x00400000U : 0U);  // quiet, as hardware does
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else {
    const float f = static_cast<float>(mantissa) * 0x1p-24F;
    std::memcpy(&bits, &f, 4);
    bits |= sign;
  }
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

// Round to nearest even, overflow to infinity, as vcvtps2ph and fcvtn do.
[[maybe_unused]] inline uint16_t to_f16(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  bits &= 0x7fffffffU;
  if (bits > 0x7f800000U) return static_cast<uint16_t>(sign | 0x7e00U | ((bits >> 13) & 0x3ffU));
  if (bits >= 0x477ff000U) return static_cast<uint16_t>(sign | 0x7c00U);  // ≥ 65520 rounds to infinity
  if (bits < 0x38800000U) {                                               // subnormal: let the adder round
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    magnitude += 0.5F;  // unit in the last place of 0.5 is 2^-24, that of a subnormal half
    std::memcpy(&bits, &magnitude, 4);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000U));
  }
  const uint32_t odd = (bits >> 13) & 1U;
  bits += 0xc8000fffU + odd;  // rebias by 15 - 127, round half to even
  return static_cast<uint16_t>(sign | (bits >> 13));
}

[[maybe_unused]] inline float from_bf16(uint16_t h) {
  const uint32_t bits = static_cast<uint32_t>(h) << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}
[[maybe_unused]] inline uint16_t to_bf16(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<uint16_t>((bits >> 16) | 64U);
  return static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace
}  // namespace skep::kernel::lm
