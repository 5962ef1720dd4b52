#pragma once
// The matrix product of kernels.h over an instruction set I (isa_*.h). Included by one kernels_*.cc per target, each
// compiled with its own flags: everything here has internal linkage.
//
// A call walks the tiles; for every tile it takes the tokens in groups of at most I::kGroup, so that a tile's codes are
// unpacked once for a group, and stay in the first-level cache for the next one. From kManyTokens on they are unpacked
// once for all (gemm_panel_inl.h).

#include "kernel/lm/gemm_panel_inl.h"
#include "kernel/lm/gemm_products_inl.h"
#include "kernel/lm/inline.h"
#include "kernel/lm/kernels.h"

namespace skep::kernel::lm {
namespace {

inline constexpr int kTokensPerPass = 32;  // whose activations stay in the second-level cache beside the weights
inline constexpr int kManyTokens = 16;     // from here on a panel pays, where taking apart costs more than little

// `ahead`: how far behind this tile the next one lies that nobody has read yet; 0: none.
template <class I, class Product, int T, class X>
[[gnu::noinline]] void tile_group(const GemmArguments& g, int tile, const uint8_t* scales, const uint8_t* codes,
                                  int64_t ahead, const X* const* x, int first_token) {
  constexpr int V = I::vectors(Product::kSums, T);
  const Matrix& w = g.weights;
  for (int row0 = 0; row0 < kTileRows; row0 += V * I::kRows) {
    typename I::F32 acc[T][V];
    for (int t = 0; t < T; ++t) {
      for (int v = 0; v < V; ++v) acc[t][v] = I::zero();
    }
    Product::template run<T, V>(scales, codes, row0 == 0 ? ahead : 0, w.columns, row0, x, acc);
    for (int v = 0; v < V; ++v) {
      const int row = tile * kTileRows + row0 + v * I::kRows;
      if (row >= w.rows) break;
      for (int t = 0; t < T; ++t) {
        put<I>(acc[t][v], g.out + (first_token + t) * g.out_stride + row, w.rows - row, g.accumulate);
      }
    }
  }
}

// tile_group for a size that is known at run time, at most T.
template <class I, class Product, int T, class X>
SKEP_INLINE void run_group(int size, const GemmArguments& g, int tile, const uint8_t* scales, const uint8_t* codes,
                           int64_t ahead, const X* const* x, int first_token) {
  if (size == T) return tile_group<I, Product, T>(g, tile, scales, codes, ahead, x, first_token);
  if constexpr (T > 1) run_group<I, Product, T - 1>(size, g, tile, scales, codes, ahead, x, first_token);
}

template <class I, class Product, class X>
void over_tiles(const GemmArguments& g, const X* activations, int64_t stride) {
  const int64_t to_codes = scales_bytes(g.weights.format, g.weights.columns);
  const int64_t step = to_codes + codes_bytes(g.weights.format, g.weights.columns);
  for (int pass = 0; pass < g.tokens; pass += kTokensPerPass) {
    const int end = pass + kTokensPerPass < g.tokens ? pass + kTokensPerPass : g.tokens;
    for (int tile = g.first_tile; tile < g.last_tile; ++tile) {
      const uint8_t* scales = g.weights.data + tile * step;
      const uint8_t* codes = scales + to_codes;
      for (int t = pass; t < end;) {
        const X* x[I::kGroup];
        // Groups of nearly equal size: five tokens are 3 + 2, not 4 + 1.
        const int groups = (end - t + I::kGroup - 1) / I::kGroup, size = (end - t + groups - 1) / groups;
        for (int i = 0; i < size; ++i) x[i] = activations + (t + i) * stride;
        run_group<I, Product, I::kGroup>(size, g, tile, scales, codes, t == 0 ? step : 0, x, t);
        t += size;
      }
    }
  }
}

template <class I, int Bits, int Zero, class S>
void nibbles(const GemmArguments& g) {
  if constexpr (I::kPairs) {
    over_tiles<I, PairProduct<I, Bits, Zero, S>>(g, g.quantized, g.blocks_between_tokens());
  } else if ((Bits > 4 || S::kDear) && g.tokens >= kManyTokens) {
    over_panels<I, BlockPanel<I, Bits, Zero, S>>(g);
  } else {
    over_tiles<I, BlockProduct<I, Bits, Zero, S>>(g, g.quantized, g.blocks_between_tokens());
  }
}

template <class I>
void gemm(const GemmArguments& g) {
  const bool many = g.tokens >= kManyTokens;
  const ActivationBlock* q = g.quantized;
  const int64_t blocks = g.blocks_between_tokens(), columns = g.weights.columns;
  switch (g.weights.format) {
    case Format::q4_0:
      return nibbles<I, 4, 8, BlockScales<I, false>>(g);
    case Format::q4_1:
      return nibbles<I, 4, 0, BlockScales<I, true>>(g);
    case Format::q5_0:
      return nibbles<I, 5, 16, BlockScales<I, false>>(g);
    case Format::q5_1:
      return nibbles<I, 5, 16, BlockScales<I, true>>(g);
    case Format::q8_0:
      return over_tiles<I, Q8Product<I>>(g, q, blocks);
    case Format::q4_k:
      return nibbles<I, 4, 0, SuperBlockScales<I>>(g);
    case Format::q5_k:
      return nibbles<I, 5, 16, SuperBlockScales<I>>(g);
    case Format::q6_k:
      return many ? over_panels<I, Q6KPanel<I>>(g) : over_tiles<I, Q6KProduct<I>>(g, q, blocks);
    case Format::f16:
      return over_tiles<I, FloatProduct<I, Format::f16>>(g, g.floats, columns);
    case Format::bf16:
      return over_tiles<I, FloatProduct<I, Format::bf16>>(g, g.floats, columns);
    case Format::f32:
      return over_tiles<I, FloatProduct<I, Format::f32>>(g, g.floats, columns);
  }
}

}  // namespace
}  // namespace skep::kernel::lm
