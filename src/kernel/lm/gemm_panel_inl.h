#pragma once
// The matrix product for many tokens: a tile's codes and scales are taken apart once for all of them, a few blocks of
// columns at a time, into a panel that stays in the first-level cache. The accumulators of the tokens wait in memory
// between panels. Each output is the same sequence of operations as in gemm_inl.h, so the same bits.

#include "kernel/lm/gemm_products_inl.h"

namespace skep::kernel::lm {
namespace {

inline constexpr int kPanelBlocks = 16;  // 8 KiB of codes; a multiple of a super-block's 8
inline constexpr int kPanelTokens = 32;  // whose activations stay in the second-level cache beside the weights

struct Panel {
  alignas(64) uint8_t codes[kPanelBlocks][8][4 * kTileRows];  // one byte each, by column group
  alignas(64) float scale[kPanelBlocks][kTileRows];
  alignas(64) float offset[kPanelBlocks][kTileRows];        // where the format has one
  alignas(64) int32_t integer[kPanelBlocks][2][kTileRows];  // q6_k: I::row_scales_i8 of either half
};

template <class I, int Bits>
SKEP_INLINE void unpack_codes(Panel& panel, int b, const uint8_t* block, int row0) {
  each_code_group<I, Bits, 1>(
      block, row0, [&](int g, const typename I::Bytes* w) __attribute__((always_inline)) {
        I::store_bytes(panel.codes[b][g] + 4 * row0, w[0]);
      });
}

// Sums of column groups [first, last) of a panel's block for T tokens and V vectors of rows.
template <class I, int T, int V>
SKEP_INLINE void add_groups(const uint8_t (*codes)[4 * kTileRows], int first, int last, int row0,
                            const ActivationBlock* const* x, int block, typename I::Dot (*sum)[V]) {
#pragma GCC unroll 8
  for (int g = first; g < last; ++g) {
    typename I::Bytes w[V];
    for (int v = 0; v < V; ++v) w[v] = I::load_bytes(codes[g] + 4 * (row0 + v * I::kRows));
    for (int t = 0; t < T; ++t) {
      for (int v = 0; v < V; ++v) sum[t][v] = I::dot(sum[t][v], w[v], x[t][block].q + 4 * g);
    }
  }
}

// Blocks [first, first + count) of a tile: unpack() fills the panel, run() adds their products to acc[T][V].

template <class I, int Bits, int Zero, class S>
struct BlockPanel {  // 4 and 5 bits
  static constexpr int kSums = 1;

  static void unpack(Panel& panel, const uint8_t* scales, const uint8_t* codes, int first, int count) {
    for (int row0 = 0; row0 < kTileRows; row0 += I::kRows) {
      typename S::template Rows<1> rows;
      for (int b = 0; b < count; ++b) {
        rows.enter(scales, first + b, row0);
        RowScales<I> s = rows.load(0);
        if constexpr (S::kOffset && Zero == 16) s.offset = I::fma(I::set1(16.0F), s.scale, s.offset);
        I::store(panel.scale[b] + row0, s.scale);
        if constexpr (S::kOffset) I::store(panel.offset[b] + row0, s.offset);
        unpack_codes<I, Bits>(panel, b, codes + static_cast<int64_t>(first + b) * 64 * Bits, row0);
      }
    }
  }

  template <int T, int V>
  SKEP_INLINE void run(const Panel& panel, int first, int count, int row0, const ActivationBlock* const* x,
                       typename I::F32 (*acc)[V]) {
    for (int b = 0; b < count; ++b) {
      const int block = first + b;
      typename I::Dot sum[T][V];
      for (int t = 0; t < T; ++t) {
        for (int v = 0; v < V; ++v) sum[t][v] = I::template start<Zero>(x[t][block]);
      }
      add_groups<I, T, V>(panel.codes[b], 0, 8, row0, x, block, sum);
      for (int v = 0; v < V; ++v) {
        const auto scale = I::load(panel.scale[b] + row0 + v * I::kRows);
        for (int t = 0; t < T; ++t) {
          const auto n = I::to_float(I::total(sum[t][v]));
          acc[t][v] = I::fma(n, I::mul(scale, I::set1(x[t][block].scale)), acc[t][v]);
          if constexpr (S::kOffset) {
            const auto offset = I::load(panel.offset[b] + row0 + v * I::kRows);
            acc[t][v] = I::fma(offset, I::set1(x[t][block].scaled_sum), acc[t][v]);
          }
        }
      }
    }
  }
};

template <class I>
struct Q6KPanel {
  static constexpr int kSums = 1;  // the halves of a block go one after the other

  static void unpack(Panel& panel, const uint8_t* scales, const uint8_t* codes, int first, int count) {
    for (int row0 = 0; row0 < kTileRows; row0 += I::kRows) {
      for (int b = 0; b < count; ++b) {
        const int block = first + b;
        const uint8_t* super = scales + static_cast<int64_t>(block / 8) * (32 + 16 * 16);
        const uint8_t* sub = super + 32 + block % 8 * 32 + row0;
        I::store(panel.scale[b] + row0, I::load_f16(super + 2 * row0));
        I::store_ints(panel.integer[b][0] + row0, I::row_scales_i8(sub));
        I::store_ints(panel.integer[b][1] + row0, I::row_scales_i8(sub + 16));
        unpack_codes<I, 6>(panel, b, codes + static_cast<int64_t>(block) * 64 * 6, row0);
      }
    }
  }

  template <int T, int V>
  SKEP_INLINE void run(const Panel& panel, int first, int count, int row0, const ActivationBlock* const* x,
                       typename I::F32 (*acc)[V]) {
    for (int b = 0; b < count; ++b) {
      const int block = first + b;
      typename I::I32 n[T][V];
      for (int half = 0; half < 2; ++half) {
        typename I::Dot sum[T][V];
        for (int t = 0; t < T; ++t) {
          for (int v = 0; v < V; ++v) sum[t][v] = I::start_half(x[t][block], half);
        }
        add_groups<I, T, V>(panel.codes[b], 4 * half, 4 * half + 4, row0, x, block, sum);
        for (int v = 0; v < V; ++v) {
          const auto s = I::load_ints(panel.integer[b][half] + row0 + v * I::kRows);
          for (int t = 0; t < T; ++t) {
            const auto scaled = I::scaled_total(sum[t][v], s);
            n[t][v] = half == 0 ? scaled : I::add(n[t][v], scaled);
          }
        }
      }
      for (int v = 0; v < V; ++v) {
        const auto scale = I::load(panel.scale[b] + row0 + v * I::kRows);
        for (int t = 0; t < T; ++t) {
          acc[t][v] = I::fma(I::to_float(n[t][v]), I::mul(scale, I::set1(x[t][block].scale)), acc[t][v]);
        }
      }
    }
  }
};

// T tokens over one panel; their accumulators are rows of `all`.
template <class I, class P, int T>
[[gnu::noinline]] void panel_group(const Panel& panel, int first, int count, const ActivationBlock* const* x,
                                   float (*all)[kTileRows]) {
  constexpr int V = I::vectors(P::kSums, T);
  for (int row0 = 0; row0 < kTileRows; row0 += V * I::kRows) {
    typename I::F32 acc[T][V];
    for (int t = 0; t < T; ++t) {
      for (int v = 0; v < V; ++v) acc[t][v] = I::load(all[t] + row0 + v * I::kRows);
    }
    P::template run<T, V>(panel, first, count, row0, x, acc);
    for (int t = 0; t < T; ++t) {
      for (int v = 0; v < V; ++v) I::store(all[t] + row0 + v * I::kRows, acc[t][v]);
    }
  }
}

template <class I, class P, int T>
SKEP_INLINE void run_panel_group(int size, const Panel& panel, int first, int count, const ActivationBlock* const* x,
                                 float (*all)[kTileRows]) {
  if (size == T) return panel_group<I, P, T>(panel, first, count, x, all);
  if constexpr (T > 1) run_panel_group<I, P, T - 1>(size, panel, first, count, x, all);
}

template <class I, class P>
void over_panels(const GemmArguments& g) {
  Panel panel;
  alignas(64) float all[kPanelTokens][kTileRows];
  const Matrix& w = g.weights;
  const int blocks = w.columns / kBlock;
  const int64_t to_codes = scales_bytes(w.format, w.columns), step = tile_bytes(w.format, w.columns);
  const int64_t stride = g.blocks_between_tokens();
  for (int pass = 0; pass < g.tokens; pass += kPanelTokens) {
    const int tokens = g.tokens - pass < kPanelTokens ? g.tokens - pass : kPanelTokens;
    for (int tile = g.first_tile; tile < g.last_tile; ++tile) {
      const uint8_t* scales = w.data + tile * step;
      __builtin_memset(all, 0, static_cast<size_t>(tokens) * sizeof all[0]);
      for (int first = 0; first < blocks; first += kPanelBlocks) {
        const int count = blocks - first < kPanelBlocks ? blocks - first : kPanelBlocks;
        P::unpack(panel, scales, scales + to_codes, first, count);
        for (int t = 0; t < tokens;) {
          const ActivationBlock* x[I::kGroup];
          const int groups = (tokens - t + I::kGroup - 1) / I::kGroup, size = (tokens - t + groups - 1) / groups;
          for (int i = 0; i < size; ++i) x[i] = g.quantized + (pass + t + i) * stride;
          run_panel_group<I, P, I::kGroup>(size, panel, first, count, x, all + t);
          t += size;
        }
      }
      for (int t = 0; t < tokens; ++t) {
        float* out = g.out + (pass + t) * g.out_stride + tile * kTileRows;
        for (int row0 = 0; row0 < kTileRows; row0 += I::kRows) {
          put<I>(I::load(all[t] + row0), out + row0, w.rows - tile * kTileRows - row0, g.accumulate);
        }
      }
    }
  }
}

}  // namespace
}  // namespace skep::kernel::lm
