#pragma once
// Reading one code or scale of a tile by the definition in format.h: for packing, unpacking and the scalar kernels.
// Internal linkage: see half.h.

#include "kernel/lm/format.h"
#include "kernel/lm/half.h"

namespace skep::kernel::lm {
namespace {

[[maybe_unused]] inline uint16_t load16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }

constexpr int code_bits(Format format) {
  switch (format) {
    case Format::q4_0:
    case Format::q4_1:
    case Format::q4_k:
      return 4;
    case Format::q5_0:
    case Format::q5_1:
    case Format::q5_k:
      return 5;
    case Format::q6_k:
      return 6;
    default:
      return 8;
  }
}

constexpr int zero_of(Format format) {
  switch (format) {
    case Format::q4_0:
      return 8;
    case Format::q5_0:
    case Format::q5_1:
    case Format::q5_k:
      return 16;
    case Format::q6_k:
      return 32;
    case Format::q8_0:
      return 128;
    default:
      return 0;
  }
}

[[maybe_unused]] inline int code_at(int bits, const uint8_t* codes, int r, int k) {
  const uint8_t* block = codes + static_cast<int64_t>(k / kBlock) * 64 * bits;
  const int g = k % kBlock / 4, lane = 4 * r + k % 4;
  if (bits == 8) return block[64 * g + lane];
  int code = (block[64 * (g % 4) + lane] >> (g < 4 ? 0 : 4)) & 15;
  if (bits == 5) code |= (block[256 + lane] >> g & 1) << 4;
  if (bits == 6) code |= (block[256 + 64 * (g / 4) + lane] >> 2 * (g % 4) & 3) << 4;
  return code;
}

// Puts the 32 codes of one row into a block; the place holds zeros.
[[maybe_unused]] inline void put_codes(int bits, uint8_t* block, int r, const uint8_t* codes) {
  if (bits == 8) {
    for (int g = 0; g < 8; ++g) std::memcpy(block + 64 * g + 4 * r, codes + 4 * g, 4);
    return;
  }
  for (int p = 0; p < 4; ++p) {
    for (int j = 0; j < 4; ++j) {
      block[64 * p + 4 * r + j] = static_cast<uint8_t>((codes[4 * p + j] & 15) | (codes[16 + 4 * p + j] & 15) << 4);
    }
  }
  for (int j = 0; j < 4 && bits == 5; ++j) {
    int fifth = 0;
    for (int g = 0; g < 8; ++g) fifth |= (codes[4 * g + j] >> 4 & 1) << g;
    block[256 + 4 * r + j] = static_cast<uint8_t>(fifth);
  }
  for (int j = 0; j < 8 && bits == 6; ++j) {
    int top = 0;
    for (int g = 0; g < 4; ++g) top |= (codes[16 * (j / 4) + 4 * g + j % 4] >> 4 & 3) << 2 * g;
    block[256 + 64 * (j / 4) + 4 * r + j % 4] = static_cast<uint8_t>(top);
  }
}

// weight = scale * integer * (code - zero) + offset; integer is 1 but for q6_k, where it belongs to 16 columns.
struct ScaleAt {
  float scale = 0, offset = 0;
  int integer = 1;
};
[[maybe_unused]] inline ScaleAt scale_at(Format format, const uint8_t* scales, int r, int k) {
  const int64_t block = k / kBlock, super_block = k / kSuperBlock;
  const int sub = k % kSuperBlock / kBlock;
  switch (format) {
    case Format::q4_0:
    case Format::q5_0:
    case Format::q8_0:
      return {from_f16(load16(scales + block * 32 + 2 * r)), 0, 1};
    case Format::q4_1:
    case Format::q5_1: {
      const float scale = from_f16(load16(scales + block * 64 + 2 * r));
      const float offset = from_f16(load16(scales + block * 64 + 32 + 2 * r));
      return {scale, format == Format::q5_1 ? __builtin_fmaf(16.0F, scale, offset) : offset, 1};
    }
    case Format::q4_k:
    case Format::q5_k: {
      const uint8_t* super = scales + super_block * (64 + 8 * 32);
      const float scale = from_f16(load16(super + 2 * r)) * static_cast<float>(super[64 + 32 * sub + r]);
      const float offset = -(from_f16(load16(super + 32 + 2 * r)) * static_cast<float>(super[64 + 32 * sub + 16 + r]));
      return {scale, format == Format::q5_k ? __builtin_fmaf(16.0F, scale, offset) : offset, 1};
    }
    case Format::q6_k: {
      const uint8_t* super = scales + super_block * (32 + 16 * 16);
      return {from_f16(load16(super + 2 * r)), 0, static_cast<int8_t>(super[32 + k % kSuperBlock / 16 * 16 + r])};
    }
    default:
      return {1, 0, 1};
  }
}

[[maybe_unused]] inline float float_at(Format format, const uint8_t* codes, int r, int k) {
  const int64_t i = int64_t{kTileRows} * k + r;
  if (format == Format::f16) return from_f16(load16(codes + 2 * i));
  if (format == Format::bf16) return from_bf16(load16(codes + 2 * i));
  float f;
  std::memcpy(&f, codes + 4 * i, 4);
  return f;
}

}  // namespace
}  // namespace skep::kernel::lm
