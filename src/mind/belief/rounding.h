#pragma once
// How a row of probabilities is kept in fewer bits. Internal to mind/belief.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernel/bfloat16.h"

namespace skep::belief {

inline constexpr int kUnits = 255;

// Rounds p (sum about 1) to n bytes that sum to exactly 255, by largest remainders: L1 error at most n / (2 · 255), and
// no entry off by a whole unit. `remainder` is scratch of n floats.
inline void round_to_bytes(const float* p, size_t n, uint8_t* out, float* remainder) {
  int left = kUnits;
  for (size_t i = 0; i < n; ++i) {
    const float scaled = p[i] * kUnits;
    const auto whole = static_cast<int>(scaled);
    const int unit = whole > kUnits ? kUnits : whole;
    out[i] = static_cast<uint8_t>(unit);
    remainder[i] = scaled - static_cast<float>(unit);
    left -= unit;
  }
  for (; left > 0; --left) {  // at most n rounds: remainders are below one unit each
    size_t best = 0;
    for (size_t i = 1; i < n; ++i) {
      if (remainder[i] > remainder[best]) best = i;
    }
    if (out[best] == kUnits) break;
    ++out[best];
    remainder[best] -= 1;
  }
  for (; left < 0; ++left) {  // p summed to a little over 1
    size_t worst = 0;
    for (size_t i = 1; i < n; ++i) {
      if (out[i] > 0 && (out[worst] == 0 || remainder[i] < remainder[worst])) worst = i;
    }
    --out[worst];
    remainder[worst] += 1;
  }
}

using kernel::from_bfloat16;
using kernel::to_bfloat16;

// Rows of n bytes that sum to 255, and of n bfloat16, at any address, back to probabilities that sum to 1.
inline void read_bytes(const void* row, size_t n, float* out) {
  const auto* bytes = static_cast<const uint8_t*>(row);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(bytes[i]) / kUnits;
}
inline void read_bfloat16(const void* row, size_t n, float* out) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    uint16_t half = 0;
    std::memcpy(&half, static_cast<const char*>(row) + 2 * i, 2);
    sum += static_cast<double>(out[i] = from_bfloat16(half));
  }
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(static_cast<double>(out[i]) / sum);
}

}  // namespace skep::belief
