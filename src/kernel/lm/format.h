#pragma once
// How a weight matrix lies in memory for our kernels: the same for every instruction set, so that one repacked file
// (doc/weight-cache.md) serves any machine.
//
// A matrix of `rows` × `columns` (a row is one output, its columns run along the inner dimension k) is cut into tiles
// of 16 rows, zero-padded at the end. A tile holds two sections:
//
//   scales   per block of 32 columns, or per super-block of 256, see each format below
//   codes    per block of 32 columns, a multiple of 64 bytes
//
// Rows run across the lanes of a vector: four consecutive columns of one row are four adjacent bytes (one 32-bit lane),
// 16 rows are 64 bytes, and the activations are broadcast. No dot product ever crosses lanes, so the sum over k of one
// output has one order on every machine and for every batch.
//
// Codes of a block, r the row in the tile, column k = 4 g + j with g in 0..7, j in 0..3:
//   4 bits   byte  64 p + 4 r + j, p in 0..3: low nibble column group g = p, high nibble g = p + 4     (256 bytes)
//   5 bits   the same, then 64 bytes: byte 4 r + j, bit g = the fifth bit                              (320 bytes)
//   6 bits   the same nibbles, then 128 bytes: byte 64 (g / 4) + 4 r + j, bits 2 (g % 4) = bits 5, 4   (384 bytes)
//   8 bits   byte 64 g + 4 r + j                                                                       (512 bytes)
// A weight is scale * (code - zero) + offset, in floats as stored:
//
//   format  bits zero  scales section                                                         from
//   q4_0      4     8  block: f16 scale[16]                                                   Q4_0
//   q4_1      4     0  block: f16 scale[16], f16 offset[16]                                   Q4_1
//   q5_0      5    16  block: f16 scale[16]                                                   Q5_0
//   q5_1      5    16  block: f16 scale[16], f16 offset[16]                                   Q5_1
//   q8_0      8   128  block: f16 scale[16]                                                   Q8_0
//   q4_k      4     0  super-block: f16 d[16], f16 m[16], 8 × (u8 s[16], u8 o[16])            Q4_K, scale d*s, offset
//   -m*o q5_k      5    16  the same                                                               Q5_K q6_k      6 32
//   super-block: f16 d[16], 16 × i8 s[16] (of 16 columns each)             Q6_K, scale d*s f16, bf16, f32     no
//   scales; codes: element (k, r) at 16 k + r
//
// q5_1 and q5_k are defined from zero 0 in GGUF. Counted from 16 their sums fit 16 bits; the kernels add 16 scale to
// the offset, with one rounding.
//
// Everything is little-endian. Sections of a tile start at multiples of 64 bytes.

#include <cstdint>
#include <optional>

namespace skep::kernel::lm {

enum class Format : uint8_t { q4_0 = 1, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k, f16, bf16, f32 };
inline constexpr int kFormats = 11;

inline constexpr int kTileRows = 16;
inline constexpr int kBlock = 32;        // columns that share an activation scale
inline constexpr int kSuperBlock = 256;  // columns that share d and m in the K formats

const char* to_string(Format format);

// Whether activations are quantized for it (all but f16, bf16 and f32).
constexpr bool is_quantized(Format format) { return format < Format::f16; }
// What `columns` must be a multiple of.
constexpr int column_multiple(Format format) {
  return format == Format::q4_k || format == Format::q5_k || format == Format::q6_k ? kSuperBlock
         : is_quantized(format)                                                     ? kBlock
                                                                                    : 1;
}

// Bytes of the scales section, of the codes section, and of the whole tile.
int64_t scales_bytes(Format format, int columns);
int64_t codes_bytes(Format format, int columns);
inline int64_t tile_bytes(Format format, int columns) {
  return scales_bytes(format, columns) + codes_bytes(format, columns);
}
constexpr int tiles_of(int rows) { return (rows + kTileRows - 1) / kTileRows; }

// A packed matrix that somebody else owns (a mapped file, a vector). `data` is 64-byte aligned.
struct Matrix {
  Format format = Format::f32;
  int rows = 0;
  int columns = 0;
  const uint8_t* data = nullptr;

  [[nodiscard]] int tiles() const { return tiles_of(rows); }
  [[nodiscard]] int64_t bytes() const { return tile_bytes(format, columns) * tiles(); }
  [[nodiscard]] explicit operator bool() const { return data != nullptr; }
};

}  // namespace skep::kernel::lm
