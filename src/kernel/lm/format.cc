#include "kernel/lm/format.h"

namespace skep::kernel::lm {
namespace {

constexpr int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

const char* to_string(Format format) {
  switch (format) {
    case Format::q4_0:
      return "Q4_0";
    case Format::q4_1:
      return "Q4_1";
    case Format::q5_0:
      return "Q5_0";
    case Format::q5_1:
      return "Q5_1";
    case Format::q8_0:
      return "Q8_0";
    case Format::q4_k:
      return "Q4_K";
    case Format::q5_k:
      return "Q5_K";
    case Format::q6_k:
      return "Q6_K";
    case Format::f16:
      return "F16";
    case Format::bf16:
      return "BF16";
    case Format::f32:
      return "F32";
  }
  return "?";
}

int64_t scales_bytes(Format format, int columns) {
  const int64_t blocks = columns / kBlock, super_blocks = columns / kSuperBlock;
  switch (format) {
    case Format::q4_0:
    case Format::q5_0:
    case Format::q8_0:
      return aligned(blocks * 32);
    case Format::q4_1:
    case Format::q5_1:
      return aligned(blocks * 64);
    case Format::q4_k:
    case Format::q5_k:
      return super_blocks * (64 + 8 * 32);
    case Format::q6_k:
      return aligned(super_blocks * (32 + 16 * 16));
    case Format::f16:
    case Format::bf16:
    case Format::f32:
      return 0;
  }
  return 0;
}

int64_t codes_bytes(Format format, int columns) {
  const int64_t blocks = columns / kBlock;
  switch (format) {
    case Format::q4_0:
    case Format::q4_1:
    case Format::q4_k:
      return blocks * 256;
    case Format::q5_0:
    case Format::q5_1:
    case Format::q5_k:
      return blocks * 320;
    case Format::q6_k:
      return blocks * 384;
    case Format::q8_0:
      return blocks * 512;
    case Format::f16:
    case Format::bf16:
      return aligned(int64_t{2} * kTileRows * columns);
    case Format::f32:
      return int64_t{4} * kTileRows * columns;
  }
  return 0;
}

}  // namespace skep::kernel::lm
