#pragma once
// Random matrices in GGUF's layouts and random activations, for the tests and the fuzz target.

#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "kernel/lm/activation.h"
#include "kernel/lm/half.h"
#include "kernel/lm/pack.h"

namespace skep::kernel::lm {

inline constexpr Format kAllFormats[] = {Format::q4_0, Format::q4_1, Format::q5_0, Format::q5_1,
                                         Format::q8_0, Format::q4_k, Format::q5_k, Format::q6_k,
                                         Format::f16,  Format::bf16, Format::f32};

template <typename T>
struct Aligned {  // 64-byte aligned storage
  explicit Aligned(size_t n) : bytes(n * sizeof(T) + 64) {}
  T* data() { return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(bytes.data()) + 63) / 64 * 64); }
  std::vector<uint8_t> bytes;
};

// Where a block of `format` keeps its 16-bit floats: random bytes anywhere else are valid codes.
inline std::vector<int> half_offsets(Format format) {
  switch (format) {
    case Format::q4_1:
    case Format::q5_1:
    case Format::q4_k:
    case Format::q5_k:
      return {0, 2};
    case Format::q6_k:
      return {208};
    default:
      return {0};
  }
}

// `rows` rows of random blocks with scales around 0.01, in the file's layout.
inline std::vector<uint8_t> random_rows(Format format, int rows, int columns, std::mt19937& random) {
  const int64_t row_bytes = gguf_row_bytes(format, columns);
  std::vector<uint8_t> data(static_cast<size_t>(row_bytes * rows));
  std::normal_distribution<float> normal(0.0F, 1.0F);
  const auto put_half = [&](uint8_t* at, uint16_t h) { std::memcpy(at, &h, 2); };
  if (!is_quantized(format)) {
    const int width = format == Format::f32 ? 4 : 2;
    for (size_t i = 0; i < data.size(); i += static_cast<size_t>(width)) {
      const float f = normal(random);
      if (format == Format::f32) std::memcpy(&data[i], &f, 4);
      if (format == Format::f16) put_half(&data[i], to_f16(f));
      if (format == Format::bf16) put_half(&data[i], to_bf16(f));
    }
    return data;
  }
  for (uint8_t& b : data) b = static_cast<uint8_t>(random());
  const int block_columns = column_multiple(format);
  const int64_t block_bytes = gguf_row_bytes(format, block_columns);
  for (size_t block = 0; block < data.size(); block += static_cast<size_t>(block_bytes)) {
    for (const int at : half_offsets(format))
      put_half(&data[block + static_cast<size_t>(at)], to_f16(0.01F * normal(random)));
  }
  return data;
}

struct PackedMatrix {
  Matrix matrix;
  Aligned<uint8_t> storage;
};
inline PackedMatrix pack(Format format, int rows, int columns, std::span<const uint8_t> source) {
  PackedMatrix packed{{format, rows, columns, nullptr},
                      Aligned<uint8_t>(static_cast<size_t>(tile_bytes(format, columns) * tiles_of(rows)))};
  uint8_t* data = packed.storage.data();
  for (int tile = 0; tile < tiles_of(rows); ++tile) {
    const int first = tile * kTileRows, count = rows - first < kTileRows ? rows - first : kTileRows;
    pack_tile(format, columns, source.data() + first * gguf_row_bytes(format, columns), count,
              data + tile * tile_bytes(format, columns));
  }
  packed.matrix.data = data;
  return packed;
}

inline std::vector<float> random_floats(size_t n, std::mt19937& random, float spread = 1.0F) {
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> x(n);
  for (float& f : x) f = normal(random);
  return x;
}

}  // namespace skep::kernel::lm
