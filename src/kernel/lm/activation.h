#pragma once
// Activations as the quantized kernels read them: int8 with one scale per 32 columns. One block is one cache line; what
// the kernels need of it is computed once here and not once per row of weights.

#include <cstdint>

namespace skep::kernel::lm {

// x[i] ≈ scale * q[i], q in -127..127, scale = max|x| / 127, rounded to nearest even. The error of one value is at most
// scale / 2; see doc/native.md for what that means for a logit.
struct alignas(64) ActivationBlock {
  int8_t q[32];
  float scale;
  float scaled_sum;  // scale * Σ q: for weights with an offset
  int32_t sum;       // Σ q
  // Sums times -8 of the columns that fall in the low (k % 4 < 2) and the high 16-bit half of a lane: what a 16-bit
  // accumulator starts from, so that the zero point of the weights costs no instruction. Over all columns, and over the
  // first and second 16 columns.
  int16_t neg8[2];
  int16_t neg8_half[2][2];
};
static_assert(sizeof(ActivationBlock) == 64);

}  // namespace skep::kernel::lm
