#include "kernel/lm/pack.h"

#include <ggml.h>
#include <gtest/gtest.h>

#include "kernel/lm/test_matrix.h"

namespace skep::kernel::lm {
namespace {

ggml_type ggml_type_of(Format format) {
  for (int t = 0; t < GGML_TYPE_COUNT; ++t) {
    if (format_of_gguf(static_cast<uint32_t>(t)) == format) return static_cast<ggml_type>(t);
  }
  ADD_FAILURE();
  return GGML_TYPE_F32;
}

TEST(Pack, HasAFormatForElevenTypesOfGguf) {
  int known = 0;
  for (uint32_t t = 0; t < 64; ++t) known += format_of_gguf(t).has_value() ? 1 : 0;
  EXPECT_EQ(known, kFormats);
  EXPECT_FALSE(format_of_gguf(10));  // Q2_K
}

TEST(Pack, ReadsEveryTypeAsGgmlDoes) {
  std::mt19937 random(1);
  constexpr int kColumns = 512;
  for (const Format format : kAllFormats) {
    SCOPED_TRACE(to_string(format));
    const auto source = random_rows(format, 3, kColumns, random);
    ASSERT_EQ(gguf_row_bytes(format, kColumns), static_cast<int64_t>(ggml_row_size(ggml_type_of(format), kColumns)));
    for (int row = 0; row < 3; ++row) {
      const uint8_t* bytes = source.data() + row * gguf_row_bytes(format, kColumns);
      std::vector<float> theirs(kColumns), ours(kColumns);
      if (format == Format::f32) {
        std::memcpy(theirs.data(), bytes, kColumns * 4);
      } else {
        ggml_get_type_traits(ggml_type_of(format))->to_float(bytes, theirs.data(), kColumns);
      }
      dequantize_row(format, bytes, ours);
      for (int k = 0; k < kColumns; ++k) {
        // They round differently where there is an offset: one rounding of the product, one of the sum.
        EXPECT_NEAR(ours[static_cast<size_t>(k)], theirs[static_cast<size_t>(k)],
                    1e-6F * std::max(1.0F, std::abs(theirs[static_cast<size_t>(k)])))
            << row << " " << k;
      }
    }
  }
}

TEST(Pack, GivesBackTheSameRowsFromTiles) {
  std::mt19937 random(2);
  constexpr int kRows = 37, kColumns = 256;
  for (const Format format : kAllFormats) {
    SCOPED_TRACE(to_string(format));
    const auto source = random_rows(format, kRows, kColumns, random);
    const PackedMatrix packed = pack(format, kRows, kColumns, source);
    for (int row = 0; row < kRows; ++row) {
      std::vector<float> direct(kColumns), from_tile(kColumns);
      dequantize_row(format, source.data() + row * gguf_row_bytes(format, kColumns), direct);
      unpack_row(packed.matrix, row, from_tile);
      EXPECT_EQ(direct, from_tile) << row;
    }
  }
}

TEST(Pack, TakesAboutAsManyBytesAsTheFile) {
  for (const Format format : kAllFormats) {
    const double ratio =
        static_cast<double>(tile_bytes(format, 2048)) / (16.0 * static_cast<double>(gguf_row_bytes(format, 2048)));
    EXPECT_GE(ratio, 0.999) << to_string(format);
    EXPECT_LE(ratio, 1.03) << to_string(format);
  }
}

TEST(Pack, FillsTheLastTileWithZeros) {
  std::mt19937 random(3);
  for (const Format format : kAllFormats) {
    const auto source = random_rows(format, 17, 256, random);
    PackedMatrix packed = pack(format, 17, 256, source);
    packed.matrix.rows = 32;
    std::vector<float> row(256);
    unpack_row(packed.matrix, 20, row);
    for (const float x : row) EXPECT_EQ(x, 0.0F) << to_string(format);
  }
}

}  // namespace
}  // namespace skep::kernel::lm
