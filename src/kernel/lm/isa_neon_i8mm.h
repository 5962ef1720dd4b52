#pragma once
// ARMv8.6 with 8-bit matrix products: vmmla multiplies two rows of eight codes with two tokens' eight activations at
// once, twice what a dot product does. Tokens go in pairs: the sums of tokens t and t + 1 lie together as two 2 × 2
// tiles, and are taken apart when they are read. A last odd token, and the formats whose scales don't allow eight
// columns to be summed together (Q6_K), use dot products. The same integers in any case.

#include "kernel/lm/isa_neon_dotprod.h"

namespace skep::kernel::lm {
namespace {

struct NeonI8mm : NeonDotprod {
  static constexpr bool kPairs = true;

  // Eight columns of rows 0, 1 and of rows 2, 3: of column group P (low nibbles) and of P + 4 (high nibbles).
  struct RowPairs {
    int8x16_t first, second;
  };
  SKEP_INLINE RowPairs row_pairs(Bytes low, Bytes high) {
    const uint32x4_t a = vreinterpretq_u32_u8(low), b = vreinterpretq_u32_u8(high);
    return {vreinterpretq_s8_u32(vzip1q_u32(a, b)), vreinterpretq_s8_u32(vzip2q_u32(a, b))};
  }
  // The same columns of two tokens.
  SKEP_INLINE int8x16_t token_pair(const ActivationBlock& x, const ActivationBlock& y, int group) {
    int32_t v[4];
    __builtin_memcpy(&v[0], x.q + 4 * group, 4);
    __builtin_memcpy(&v[1], x.q + 4 * group + 16, 4);
    __builtin_memcpy(&v[2], y.q + 4 * group, 4);
    __builtin_memcpy(&v[3], y.q + 4 * group + 16, 4);
    return vreinterpretq_s8_s32(vld1q_s32(v));
  }
  struct PairSums {
    int32x4_t first, second;  // [row 0 of x, row 0 of y, row 1 of x, row 1 of y], [rows 2 and 3 likewise]
  };
  template <int Zero>
  SKEP_INLINE PairSums start_pair(const ActivationBlock& x, const ActivationBlock& y) {
    const int32_t v[4] = {-Zero * x.sum, -Zero * y.sum, -Zero * x.sum, -Zero * y.sum};
    const int32x4_t both = vld1q_s32(v);
    return {both, both};
  }
  SKEP_INLINE PairSums multiply(PairSums sums, RowPairs rows, int8x16_t tokens) {
    return {vmmlaq_s32(sums.first, rows.first, tokens), vmmlaq_s32(sums.second, rows.second, tokens)};
  }
  SKEP_INLINE I32 total_of_x(PairSums s) { return vuzp1q_s32(s.first, s.second); }
  SKEP_INLINE I32 total_of_y(PairSums s) { return vuzp2q_s32(s.first, s.second); }
};

}  // namespace
}  // namespace skep::kernel::lm
