#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernel/lm/kernels.h"
#include "kernel/lm/test_matrix.h"

namespace skep::kernel::lm {
namespace {

// One product: random weights and activations, run through any table of kernels.
struct Product {
  Product(Format format, int rows, int columns, int token_count, std::mt19937& random)
      : source(random_rows(format, rows, columns, random)),
        packed(pack(format, rows, columns, source)),
        tokens(token_count),
        floats(random_floats(static_cast<size_t>(token_count) * static_cast<size_t>(columns), random)),
        quantized(static_cast<size_t>(tokens * columns / kBlock)) {
    if (is_quantized(format)) scalar_kernels().quantize(floats.data(), tokens * columns, quantized.data());
  }

  std::vector<float> run(const Kernels& kernels, int first_token, int count, int first_tile, int last_tile,
                         bool accumulate = false) {
    const Matrix& w = packed.matrix;
    std::vector<float> out(static_cast<size_t>(count) * static_cast<size_t>(w.rows), 0.25F);
    GemmArguments g;
    g.weights = w;
    g.quantized = quantized.data() + first_token * (w.columns / kBlock);
    g.floats = floats.data() + static_cast<ptrdiff_t>(first_token) * w.columns;
    g.tokens = count;
    g.first_tile = first_tile;
    g.last_tile = last_tile;
    g.out = out.data();
    g.out_stride = w.rows;
    g.accumulate = accumulate;
    kernels.gemm(g);
    return out;
  }
  std::vector<float> run(const Kernels& kernels) { return run(kernels, 0, tokens, 0, packed.matrix.tiles()); }

  std::vector<uint8_t> source;
  PackedMatrix packed;
  int tokens;
  std::vector<float> floats;
  Aligned<ActivationBlock> quantized;
};

TEST(Gemm, IsTheSumOfProductsOfDequantizedNumbers) {
  std::mt19937 random(1);
  for (const Format format : kAllFormats) {
    SCOPED_TRACE(to_string(format));
    Product p(format, 16, 512, 2, random);
    const std::vector<float> out = p.run(scalar_kernels());
    for (int t = 0; t < 2; ++t) {
      for (int r = 0; r < 16; ++r) {
        double exact = 0, size = 0;
        for (int k = 0; k < 512; ++k) {
          const ActivationBlock& block = p.quantized.data()[t * 16 + k / 32];
          const float x = is_quantized(format) ? block.scale * static_cast<float>(block.q[k % 32])
                                               : p.floats[static_cast<size_t>(t * 512 + k)];
          const double term = static_cast<double>(weight_at(format, 512, p.packed.matrix.data, r, k)) * x;
          exact += term;
          size += std::abs(term);
        }
        // At most one rounding per block (or element) of partial sums no larger than the sum of sizes.
        EXPECT_NEAR(out[static_cast<size_t>(t * 16 + r)], exact, size * 2e-5) << t << " " << r;
      }
    }
  }
}

TEST(Gemm, IsTheSameToTheBitOnEveryInstructionSet) {
  std::mt19937 random(2);
  for (const Kernels* kernels : available_kernels()) {
    for (const Format format : kAllFormats) {
      SCOPED_TRACE(std::string(kernels->name) + " " + to_string(format));
      for (const int tokens : {7, 45}) {  // few and many: two ways through the weights
        Product p(format, 45, 768, tokens, random);
        EXPECT_EQ(p.run(*kernels), p.run(scalar_kernels())) << tokens;
      }
    }
  }
}

TEST(Gemm, IsTheSameToTheBitHoweverTokensAndTilesAreSplit) {
  std::mt19937 random(3);
  for (const Kernels* kernels : available_kernels()) {
    if (kernels == &scalar_kernels()) continue;
    for (const Format format : kAllFormats) {
      SCOPED_TRACE(std::string(kernels->name) + " " + to_string(format));
      Product p(format, 64, 256, 40, random);
      const std::vector<float> whole = p.run(*kernels);
      for (const int count : {1, 2, 3, 5, 6, 11, 17, 33}) {
        const int first = 40 - count;
        const std::vector<float> part = p.run(*kernels, first, count, 0, 4);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first * 64)) << count;
      }
      std::vector<float> tiles = p.run(*kernels, 0, 40, 1, 3);
      for (int t = 0; t < 40; ++t) {
        for (int r = 0; r < 64; ++r) {
          const size_t i = static_cast<size_t>(t * 64 + r);
          EXPECT_EQ(tiles[i], r >= 16 && r < 48 ? whole[i] : 0.25F) << "wrote outside its tiles";
        }
      }
    }
  }
}

TEST(Gemm, AddsToWhatIsThereWhenToldTo) {
  std::mt19937 random(4);
  for (const Kernels* kernels : available_kernels()) {
    for (const int tokens : {3, 34}) {
      Product p(Format::q4_k, 19, 256, tokens, random);
      const std::vector<float> stored = p.run(*kernels);
      const std::vector<float> added = p.run(*kernels, 0, tokens, 0, 2, true);
      for (size_t i = 0; i < stored.size(); ++i) EXPECT_EQ(added[i], 0.25F + stored[i]);
    }
  }
}

// The largest codes against the largest activations of either sign: where a 16-bit sum would overflow first.
TEST(Gemm, DoesNotOverflowAtTheExtremes) {
  std::mt19937 random(5);
  for (const Format format : kAllFormats) {
    if (!is_quantized(format)) continue;
    for (const int byte : {0x00, 0xff, 0x7f, 0x80}) {
      for (const int q : {-127, 127}) {
        SCOPED_TRACE(fmt::format("{} {:x} {}", to_string(format), byte, q));
        constexpr int kTokens = 33;  // groups of four, and a panel
        Product p(format, 16, 256, kTokens, random);
        std::vector<uint8_t> source(p.source.size(), static_cast<uint8_t>(byte));
        const int64_t block_bytes = gguf_row_bytes(format, column_multiple(format));
        const uint16_t one = to_f16(1.0F);
        for (size_t b = 0; b < source.size(); b += static_cast<size_t>(block_bytes)) {
          for (const int at : half_offsets(format)) std::memcpy(&source[b + static_cast<size_t>(at)], &one, 2);
        }
        PackedMatrix packed = pack(format, 16, 256, source);
        p.packed.matrix.data = packed.storage.data();
        for (float& x : p.floats) x = static_cast<float>(q);
        scalar_kernels().quantize(p.floats.data(), kTokens * 256, p.quantized.data());
        for (const Kernels* kernels : available_kernels()) {
          EXPECT_EQ(p.run(*kernels), p.run(scalar_kernels()));
          EXPECT_EQ(p.run(*kernels, 0, 4, 0, 1), p.run(scalar_kernels(), 0, 4, 0, 1));
        }
      }
    }
  }
}

}  // namespace
}  // namespace skep::kernel::lm
