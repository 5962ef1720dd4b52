#include "kernel/lm/pack.h"

#include <cassert>

#include "kernel/lm/tile_access.h"

namespace skep::kernel::lm {
namespace {

struct SourceType {
  Format format;
  uint32_t gguf;       // number in the file
  int columns, bytes;  // of one block
};
constexpr SourceType kSourceTypes[] = {
    {Format::f32, 0, 1, 4},       {Format::f16, 1, 1, 2},       {Format::q4_0, 2, 32, 18}, {Format::q4_1, 3, 32, 20},
    {Format::q5_0, 6, 32, 22},    {Format::q5_1, 7, 32, 24},    {Format::q8_0, 8, 32, 34}, {Format::q4_k, 12, 256, 144},
    {Format::q5_k, 13, 256, 176}, {Format::q6_k, 14, 256, 210}, {Format::bf16, 30, 1, 2},
};
const SourceType& source(Format format) {
  for (const SourceType& s : kSourceTypes) {
    if (s.format == format) return s;
  }
  assert(false);
  return kSourceTypes[0];
}

// One block of the file taken apart. Codes count from zero_of(format); scales are the bytes to store.
struct Block {
  uint8_t codes[256];
  uint8_t scale[2], offset[2];  // f16 as stored: d and m
  uint8_t sub_scale[16], sub_offset[8];
};

// Nibbles j of 16 bytes are columns j and j + 16; the fifth bits are 32 bits in the same order.
void read_nibbles(const uint8_t* nibbles, const uint8_t* fifth, uint8_t* codes) {
  uint32_t high = 0;
  if (fifth != nullptr) std::memcpy(&high, fifth, 4);
  for (int j = 0; j < 16; ++j) {
    codes[j] = static_cast<uint8_t>((nibbles[j] & 15) | (high >> j & 1U) << 4);
    codes[j + 16] = static_cast<uint8_t>(nibbles[j] >> 4 | (high >> (j + 16) & 1U) << 4);
  }
}

// Eight six-bit scales and eight six-bit minima in twelve bytes.
void read_six_bit_scales(const uint8_t* q, Block& b) {
  for (int j = 0; j < 4; ++j) {
    b.sub_scale[j] = q[j] & 63;
    b.sub_offset[j] = q[j + 4] & 63;
    b.sub_scale[j + 4] = static_cast<uint8_t>((q[j + 8] & 15) | q[j] >> 6 << 4);
    b.sub_offset[j + 4] = static_cast<uint8_t>(q[j + 8] >> 4 | q[j + 4] >> 6 << 4);
  }
}

void read_k4_k5(const uint8_t* p, bool five, Block& b) {
  std::memcpy(b.scale, p, 2);
  std::memcpy(b.offset, p + 2, 2);
  read_six_bit_scales(p + 4, b);
  const uint8_t* high = p + 16;
  const uint8_t* low = five ? p + 48 : p + 16;
  for (int pair = 0; pair < 4; ++pair) {  // 32 bytes hold two sub-blocks: low nibbles, then high nibbles
    for (int j = 0; j < 32; ++j) {
      const uint8_t nibbles = low[32 * pair + j];
      const int h = five ? high[j] >> 2 * pair : 0;
      b.codes[64 * pair + j] = static_cast<uint8_t>((nibbles & 15) | (h & 1) << 4);
      b.codes[64 * pair + 32 + j] = static_cast<uint8_t>(nibbles >> 4 | (h >> 1 & 1) << 4);
    }
  }
}

void read_k6(const uint8_t* p, Block& b) {
  std::memcpy(b.sub_scale, p + 192, 16);
  std::memcpy(b.scale, p + 208, 2);
  for (int half = 0; half < 2; ++half) {  // 128 columns: 64 bytes of nibbles, 32 bytes of top bits
    const uint8_t* low = p + 64 * half;
    const uint8_t* high = p + 128 + 32 * half;
    uint8_t* out = b.codes + 128 * half;
    for (int j = 0; j < 32; ++j) {
      out[j] = static_cast<uint8_t>((low[j] & 15) | (high[j] & 3) << 4);
      out[j + 32] = static_cast<uint8_t>((low[j + 32] & 15) | (high[j] >> 2 & 3) << 4);
      out[j + 64] = static_cast<uint8_t>(low[j] >> 4 | (high[j] >> 4 & 3) << 4);
      out[j + 96] = static_cast<uint8_t>(low[j + 32] >> 4 | (high[j] >> 6 & 3) << 4);
    }
  }
}

void read_block(Format format, const uint8_t* p, Block& b) {
  switch (format) {
    case Format::q4_0:
      std::memcpy(b.scale, p, 2);
      return read_nibbles(p + 2, nullptr, b.codes);
    case Format::q4_1:
      std::memcpy(b.scale, p, 2);
      std::memcpy(b.offset, p + 2, 2);
      return read_nibbles(p + 4, nullptr, b.codes);
    case Format::q5_0:
      std::memcpy(b.scale, p, 2);
      return read_nibbles(p + 6, p + 2, b.codes);
    case Format::q5_1:
      std::memcpy(b.scale, p, 2);
      std::memcpy(b.offset, p + 2, 2);
      return read_nibbles(p + 8, p + 4, b.codes);
    case Format::q8_0:
      std::memcpy(b.scale, p, 2);
      for (int j = 0; j < 32; ++j) b.codes[j] = p[2 + j] ^ 0x80;  // int8 + 128
      return;
    case Format::q4_k:
    case Format::q5_k:
      return read_k4_k5(p, format == Format::q5_k, b);
    case Format::q6_k:
      return read_k6(p, b);
    default:
      assert(false);
  }
}

void write_scales(Format format, const Block& b, int r, int64_t block, uint8_t* scales) {
  switch (format) {
    case Format::q4_0:
    case Format::q5_0:
    case Format::q8_0:
      std::memcpy(scales + block * 32 + 2 * r, b.scale, 2);
      return;
    case Format::q4_1:
    case Format::q5_1:
      std::memcpy(scales + block * 64 + 2 * r, b.scale, 2);
      std::memcpy(scales + block * 64 + 32 + 2 * r, b.offset, 2);
      return;
    case Format::q4_k:
    case Format::q5_k: {
      uint8_t* super = scales + block * (64 + 8 * 32);
      std::memcpy(super + 2 * r, b.scale, 2);
      std::memcpy(super + 32 + 2 * r, b.offset, 2);
      for (int j = 0; j < 8; ++j) {
        super[64 + 32 * j + r] = b.sub_scale[j];
        super[64 + 32 * j + 16 + r] = b.sub_offset[j];
      }
      return;
    }
    case Format::q6_k: {
      uint8_t* super = scales + block * (32 + 16 * 16);
      std::memcpy(super + 2 * r, b.scale, 2);
      for (int j = 0; j < 16; ++j) super[32 + 16 * j + r] = b.sub_scale[j];
      return;
    }
    default:
      assert(false);
  }
}

}  // namespace

std::optional<Format> format_of_gguf(uint32_t tensor_type) {
  for (const SourceType& s : kSourceTypes) {
    if (s.gguf == tensor_type) return s.format;
  }
  return std::nullopt;
}

int64_t gguf_row_bytes(Format format, int columns) {
  const SourceType& s = source(format);
  assert(columns % s.columns == 0);
  return static_cast<int64_t>(columns / s.columns) * s.bytes;
}

void pack_tile(Format format, int columns, const uint8_t* rows, int row_count, uint8_t* tile) {
  assert(row_count >= 1 && row_count <= kTileRows);
  const int64_t row_bytes = gguf_row_bytes(format, columns);
  std::memset(tile, 0, static_cast<size_t>(tile_bytes(format, columns)));
  if (!is_quantized(format)) {
    const int width = format == Format::f32 ? 4 : 2;
    for (int r = 0; r < row_count; ++r) {
      for (int k = 0; k < columns; ++k) {
        std::memcpy(tile + width * (int64_t{kTileRows} * k + r), rows + r * row_bytes + int64_t{width} * k,
                    static_cast<size_t>(width));
      }
    }
    return;
  }
  const SourceType& s = source(format);
  const int bits = code_bits(format);
  uint8_t* codes = tile + scales_bytes(format, columns);
  Block b{};
  for (int r = 0; r < row_count; ++r) {
    for (int block = 0; block < columns / s.columns; ++block) {
      read_block(format, rows + r * row_bytes + int64_t{block} * s.bytes, b);
      write_scales(format, b, r, block, tile);
      for (int j = 0; j < s.columns / kBlock; ++j) {
        const int64_t at = int64_t{block} * (s.columns / kBlock) + j;
        put_codes(bits, codes + at * 64 * bits, r, b.codes + j * kBlock);
      }
    }
  }
}

float weight_at(Format format, int columns, const uint8_t* tile, int r, int k) {
  const uint8_t* codes = tile + scales_bytes(format, columns);
  if (!is_quantized(format)) return float_at(format, codes, r, k);
  const ScaleAt s = scale_at(format, tile, r, k);
  const int n = s.integer * (code_at(code_bits(format), codes, r, k) - zero_of(format));
  return __builtin_fmaf(s.scale, static_cast<float>(n), s.offset);
}

void unpack_row(const Matrix& matrix, int row, std::span<float> out) {
  assert(row >= 0 && row < matrix.rows && out.size() == static_cast<size_t>(matrix.columns));
  const uint8_t* tile = matrix.data + row / kTileRows * tile_bytes(matrix.format, matrix.columns);
  for (int k = 0; k < matrix.columns; ++k) {
    out[static_cast<size_t>(k)] = weight_at(matrix.format, matrix.columns, tile, row % kTileRows, k);
  }
}

void dequantize_row(Format format, const uint8_t* row, std::span<float> out) {
  const int columns = static_cast<int>(out.size());
  alignas(64) uint8_t tile[16 * 4 * kSuperBlock];  // the widest a super-block's tile can be
  const int step = is_quantized(format) ? source(format).columns : kSuperBlock;
  for (int k = 0; k < columns; k += step) {
    const int width = columns - k < step ? columns - k : step;
    pack_tile(format, width, row + gguf_row_bytes(format, k), 1, tile);
    for (int j = 0; j < width; ++j) out[static_cast<size_t>(k + j)] = weight_at(format, width, tile, 0, j);
  }
}

}  // namespace skep::kernel::lm
