#pragma once
// The kernels that are loops over independent elements: plain code, vectorized by the compiler for the target of the
// file that includes this. Contraction is off for these files (CMakeLists.txt), so a product is fused with a sum only
// where fma is written, and every target computes the same bits.

#include <cstdint>
#include <cstring>

#include "kernel/lm/half.h"
#include "kernel/lm/kernels.h"

namespace skep::kernel::lm {
namespace {

// e^x within 2 units in the last place, for x in -87 … 88 (clamped to it). x = n ln 2 + r with |r| ≤ ln 2 / 2; adding
// 1.5 · 2^23 rounds to the integer n and leaves it in the low bits, from where it moves into the exponent.
[[gnu::always_inline]] static inline float exp_fixed(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 88.0F ? 88.0F : x;
  const float shifted = __builtin_fmaf(x, 1.44269504F, 12582912.0F);
  const float n = shifted - 12582912.0F;
  float r = __builtin_fmaf(n, -0.693145752F, x);  // ln 2 in two parts, the first exact when multiplied by n
  r = __builtin_fmaf(n, -1.42860677e-6F, r);
  float p = 1.0F / 720.0F;  // Taylor: the next term is below 2^-23 of the result
  p = __builtin_fmaf(p, r, 1.0F / 120.0F);
  p = __builtin_fmaf(p, r, 1.0F / 24.0F);
  p = __builtin_fmaf(p, r, 1.0F / 6.0F);
  p = __builtin_fmaf(p, r, 0.5F);
  p = __builtin_fmaf(p, r, 1.0F);
  p = __builtin_fmaf(p, r, 1.0F);
  uint32_t bits, exponent;
  std::memcpy(&bits, &p, 4);
  std::memcpy(&exponent, &shifted, 4);
  bits += exponent << 23;
  std::memcpy(&p, &bits, 4);
  return p;
}

[[gnu::always_inline]] static inline float sum16(float* lanes) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

[[gnu::always_inline]] static inline float larger(float a, float b) { return b > a ? b : a; }

[[gnu::always_inline]] static inline float max16(float* lanes) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] = larger(lanes[i], lanes[i + half]);
  }
  return lanes[0];
}

// Σ of x² and max |x|, both in sixteen lanes.
[[gnu::always_inline]] static inline float max_magnitude(const float* x, int n) {
  float lanes[16] = {};
  for (int i = 0; i < n; i += 16) {
    for (int j = 0; j < 16; ++j) lanes[j] = larger(lanes[j], __builtin_fabsf(x[i + j]));
  }
  return max16(lanes);
}

// To nearest even for |x| < 2^22, without leaving the float unit.
[[gnu::always_inline]] static inline int32_t to_nearest(float x) {
  const float shifted = x + 12582912.0F;
  int32_t bits;
  std::memcpy(&bits, &shifted, 4);
  return bits - 0x4b400000;
}

[[maybe_unused]] void quantize(const float* x, int n, ActivationBlock* out) {
  for (int b = 0; b < n / kBlock; ++b, x += kBlock, ++out) {
    const float largest = max_magnitude(x, kBlock);
    const float inverse = largest > 0 ? 127.0F / largest : 0.0F;
    int32_t q[kBlock];
    for (int i = 0; i < kBlock; ++i) q[i] = to_nearest(x[i] * inverse);
    int32_t lanes[2][2] = {};  // [half of the block][half of a 32-bit lane]
    for (int i = 0; i < kBlock; ++i) lanes[i / 16][i % 4 / 2] += q[i];
    for (int i = 0; i < kBlock; ++i) out->q[i] = static_cast<int8_t>(q[i]);
    out->scale = largest / 127.0F;
    out->sum = lanes[0][0] + lanes[0][1] + lanes[1][0] + lanes[1][1];
    out->scaled_sum = out->scale * static_cast<float>(out->sum);
    for (int j = 0; j < 2; ++j) {
      out->neg8_half[0][j] = static_cast<int16_t>(-8 * lanes[0][j]);
      out->neg8_half[1][j] = static_cast<int16_t>(-8 * lanes[1][j]);
      out->neg8[j] = static_cast<int16_t>(-8 * (lanes[0][j] + lanes[1][j]));
    }
  }
}

void rms_norm(const float* x, const float* weight, int n, float epsilon, float* out) {
  float lanes[16] = {};
  for (int i = 0; i < n; i += 16) {
    for (int j = 0; j < 16; ++j) lanes[j] = __builtin_fmaf(x[i + j], x[i + j], lanes[j]);
  }
  const float mean = sum16(lanes) / static_cast<float>(n);
  const float scale = 1.0F / __builtin_sqrtf(mean + epsilon);
  for (int i = 0; i < n; ++i) out[i] = (x[i] * scale) * weight[i];
}

void rope(float* x, int heads, int head_size, int pairs, bool halves, const float* cosine, const float* sine) {
  for (int h = 0; h < heads; ++h, x += head_size) {
    if (halves) {
      for (int i = 0; i < pairs; ++i) {
        const float a = x[i], b = x[i + pairs];
        x[i] = a * cosine[i] - b * sine[i];
        x[i + pairs] = a * sine[i] + b * cosine[i];
      }
    } else {
      for (int i = 0; i < pairs; ++i) {
        const float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cosine[i] - b * sine[i];
        x[2 * i + 1] = a * sine[i] + b * cosine[i];
      }
    }
  }
}

void swiglu(float* gate, const float* up, int n) {
  for (int i = 0; i < n; ++i) {
    const float g = gate[i];
    gate[i] = g / (1.0F + exp_fixed(-g)) * up[i];
  }
}

// A key's elements go to one column of [head_size][16], a value's to one row of [16][head_size]: element d lies at
// first + d * step.
[[gnu::always_inline]] static inline void store_kv(const KvStoreArguments& s, int first, int step) {
  const auto put16 = [&](int d, uint16_t bits) {
    std::memcpy(s.at + 2 * (int64_t{first} + int64_t{d} * step), &bits, 2);
  };
  switch (s.type) {
    case KvType::f16:
      for (int d = 0; d < s.head_size; ++d) put16(d, to_f16(s.x[d]));
      return;
    case KvType::bf16:
      for (int d = 0; d < s.head_size; ++d) put16(d, to_bf16(s.x[d]));
      return;
    case KvType::q8: {
      const float largest = max_magnitude(s.x, s.head_size);
      const float inverse = largest > 0 ? 127.0F / largest : 0.0F, scale = largest / 127.0F;
      for (int d = 0; d < s.head_size; ++d) {
        s.at[int64_t{first} + int64_t{d} * step] = static_cast<uint8_t>(to_nearest(s.x[d] * inverse));
      }
      std::memcpy(s.at + int64_t{kPageTokens} * s.head_size + 4 * s.slot, &scale, 4);
      return;
    }
  }
}
void store_key(const KvStoreArguments& s) { store_kv(s, s.slot, kPageTokens); }
void store_value(const KvStoreArguments& s) { store_kv(s, s.slot * s.head_size, 1); }

}  // namespace
}  // namespace skep::kernel::lm
