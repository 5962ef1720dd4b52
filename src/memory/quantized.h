#pragma once
// A vector as signed bytes: entry i is round(127 x_i / max|x|). Only its direction is kept, since only cosines are
// asked for; inverse_norm is 1 / |bytes|, so that cos(a, b) = (a · b) a.inverse_norm b.inverse_norm.
//
// The error. Rounding moves each entry by at most max|x| / 254. For unit vectors whose largest entry is m, the error of
// a cosine has a standard deviation of about m sqrt(2 d) / (254 sqrt(3 d)) = 0.0032 m: with m near 0.15 (384
// dimensions) 5e-4, which test and `skep bench vectors` measure as recall.

#include <cstdint>
#include <span>
#include <vector>

#include "kernel/vector_kernels.h"

namespace skep::memory {

struct QuantizedVector {
  std::vector<int8_t> bytes;  // padded_length(dimensions) of them, the padding zero
  float inverse_norm = 0;     // 0: the zero vector, alike to nothing

  [[nodiscard]] bool empty() const { return bytes.empty(); }
  friend bool operator==(const QuantizedVector&, const QuantizedVector&) = default;
};

// Entries are finite; at most kernel::kLongestVector of them.
QuantizedVector quantize(std::span<const float> vector);

// 1 / |bytes|, 0 for zero.
float inverse_norm(std::span<const int8_t> bytes);

inline float cosine(const QuantizedVector& a, const QuantizedVector& b) {
  return static_cast<float>(kernel::vector_kernels().dot_int8(a.bytes.data(), b.bytes.data(), a.bytes.size())) *
         a.inverse_norm * b.inverse_norm;
}

}  // namespace skep::memory
