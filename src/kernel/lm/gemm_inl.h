#pragma once
// The matrix product of kernels.h over an instruction set I (isa_*.h). Included by one kernels_*.cc per target, each
// compiled with its own flags: everything here has internal linkage.
//
// A call walks the tiles; for every tile it takes the tokens in groups of at most I::kGroup, so that a tile's codes are
// unpacked once for a group, and stay in the first-level cache for the next one. A product computes some vectors of
// rows for some tokens at once: each activation that is broadcast serves all its vectors, each code all its tokens, and
// the integer sums of all of them live in registers.

#include "kernel/lm/inline.h"
#include "kernel/lm/kernels.h"

namespace skep::kernel::lm {
namespace {

inline constexpr int kTokensPerPass = 32;  // whose activations stay in the second-level cache beside the weights

// Scales of one block and I::kRows rows: weight = scale * (code - zero) + offset.
template <class I>
struct RowScales {
  typename I::F32 scale, offset;
};

template <class I, bool Offset>
struct BlockScales {  // f16 per block
  static constexpr bool kOffset = Offset;
  SKEP_INLINE RowScales<I> load(const uint8_t* section, int block, int row0) {
    const uint8_t* at = section + static_cast<int64_t>(block) * (Offset ? 64 : 32) + 2 * row0;
    return {I::load_f16(at), Offset ? I::load_f16(at + 32) : I::zero()};
  }
};

template <class I>
struct SuperBlockScales {  // Q4_K, Q5_K: f16 per super-block times u8 per block
  static constexpr bool kOffset = true;
  SKEP_INLINE RowScales<I> load(const uint8_t* section, int block, int row0) {
    const uint8_t* super = section + static_cast<int64_t>(block / 8) * (64 + 8 * 32);
    const uint8_t* sub = super + 64 + block % 8 * 32 + row0;
    return {I::mul(I::load_f16(super + 2 * row0), I::load_u8(sub)),
            I::negate(I::mul(I::load_f16(super + 32 + 2 * row0), I::load_u8(sub + 16)))};
  }
};

// Calls use(g, codes[V]) for the column groups of a block in an order that is the same for all tokens (integers: any
// order gives the same sum). Each nibble vector serves two groups.
template <class I, int Bits, int V, class Use>
SKEP_INLINE void each_code_group(const uint8_t* block, int row0, Use&& use) {
  using Bytes = typename I::Bytes;
  block += 4 * row0;
  Bytes high[V] = {}, high2[V] = {};
  for (int v = 0; v < V; ++v) {
    if constexpr (Bits >= 5) high[v] = I::load_bytes(block + 256 + 4 * v * I::kRows);
    if constexpr (Bits == 6) high2[v] = I::load_bytes(block + 320 + 4 * v * I::kRows);
  }
  const auto pair = [&]<int P>() __attribute__((always_inline)) {
    Bytes w[V], codes[V];
    for (int v = 0; v < V; ++v) {
      w[v] = I::load_bytes(block + 64 * P + 4 * v * I::kRows);
      codes[v] = I::low_nibbles(w[v]);
      if constexpr (Bits == 5) codes[v] = I::either(codes[v], I::template fifth_bit<P>(high[v]));
      if constexpr (Bits == 6) codes[v] = I::either(codes[v], I::template top_bits<2 * P>(high[v]));
    }
    use(P, codes);
    for (int v = 0; v < V; ++v) {
      codes[v] = I::high_nibbles(w[v]);
      if constexpr (Bits == 5) codes[v] = I::either(codes[v], I::template fifth_bit<P + 4>(high[v]));
      if constexpr (Bits == 6) codes[v] = I::either(codes[v], I::template top_bits<2 * P>(high2[v]));
    }
    use(P + 4, codes);
  };
  pair.template operator()<0>();
  pair.template operator()<1>();
  pair.template operator()<2>();
  pair.template operator()<3>();
}

// Each product computes V * I::kRows rows of a tile, from row0 on, for T tokens over all columns, into acc[T][V]. The
// largest V whose sums fit the registers is I::vectors(sums per token and vector, T).

template <class I, int Bits, int Zero, class S>
struct BlockProduct {  // 4 and 5 bits
  static constexpr int kSums = 1;
  template <int T, int V>
  SKEP_INLINE void run(const uint8_t* scales, const uint8_t* codes, int columns, int row0,
                       const ActivationBlock* const* x, typename I::F32 (*acc)[V]) {
    using F32 = typename I::F32;
    for (int b = 0; b < columns / kBlock; ++b) {
      typename I::Dot sum[T][V];
      for (int t = 0; t < T; ++t) {
        for (int v = 0; v < V; ++v) sum[t][v] = I::template start<Zero>(x[t][b]);
      }
      each_code_group<I, Bits, V>(
          codes + static_cast<int64_t>(b) * 64 * Bits,
          row0, [&](int g, const typename I::Bytes* w) __attribute__((always_inline)) {
            for (int t = 0; t < T; ++t) {
              for (int v = 0; v < V; ++v) sum[t][v] = I::dot(sum[t][v], w[v], x[t][b].q + 4 * g);
            }
          });
      for (int v = 0; v < V; ++v) {
        RowScales<I> s = S::load(scales, b, row0 + v * I::kRows);
        if constexpr (S::kOffset && Zero == 16) s.offset = I::fma(I::set1(16.0F), s.scale, s.offset);
        for (int t = 0; t < T; ++t) {
          const F32 n = I::to_float(I::total(sum[t][v]));
          acc[t][v] = I::fma(n, I::mul(s.scale, I::set1(x[t][b].scale)), acc[t][v]);
          if constexpr (S::kOffset) acc[t][v] = I::fma(s.offset, I::set1(x[t][b].scaled_sum), acc[t][v]);
        }
      }
    }
  }
};

template <class I>
struct Q6KProduct {  // an int8 scale per 16 columns, multiplied in integers
  static constexpr int kSums = 2;
  template <int T, int V>
  SKEP_INLINE void run(const uint8_t* scales, const uint8_t* codes, int columns, int row0,
                       const ActivationBlock* const* x, typename I::F32 (*acc)[V]) {
    for (int b = 0; b < columns / kBlock; ++b) {
      const uint8_t* super = scales + static_cast<int64_t>(b / 8) * (32 + 16 * 16);
      typename I::Dot first[T][V], second[T][V];  // of the block's two halves: groups 0..3 and 4..7
      for (int t = 0; t < T; ++t) {
        for (int v = 0; v < V; ++v) {
          first[t][v] = I::start_half(x[t][b], 0);
          second[t][v] = I::start_half(x[t][b], 1);
        }
      }
      each_code_group<I, 6, V>(
          codes + static_cast<int64_t>(b) * 64 * 6,
          row0, [&](int g, const typename I::Bytes* w) __attribute__((always_inline)) {
            for (int t = 0; t < T; ++t) {
              for (int v = 0; v < V; ++v) {
                auto& sum = g < 4 ? first[t][v] : second[t][v];
                sum = I::dot(sum, w[v], x[t][b].q + 4 * g);
              }
            }
          });
      for (int v = 0; v < V; ++v) {
        const int row = row0 + v * I::kRows;
        const uint8_t* sub = super + 32 + b % 8 * 32 + row;
        const auto s1 = I::row_scales_i8(sub), s2 = I::row_scales_i8(sub + 16);
        const typename I::F32 d = I::load_f16(super + 2 * row);
        for (int t = 0; t < T; ++t) {
          const auto n = I::add(I::scaled_total(first[t][v], s1), I::scaled_total(second[t][v], s2));
          acc[t][v] = I::fma(I::to_float(n), I::mul(d, I::set1(x[t][b].scale)), acc[t][v]);
        }
      }
    }
  }
};

template <class I>
struct Q8Product {
  static constexpr int kSums = 2;
  template <int T, int V>
  SKEP_INLINE void run(const uint8_t* scales, const uint8_t* codes, int columns, int row0,
                       const ActivationBlock* const* x, typename I::F32 (*acc)[V]) {
    for (int b = 0; b < columns / kBlock; ++b) {
      typename I::Dot8 sum[T][V];
      for (int t = 0; t < T; ++t) {
        for (int v = 0; v < V; ++v) sum[t][v] = I::start8();
      }
      for (int g = 0; g < 8; ++g) {
        for (int v = 0; v < V; ++v) {
          const uint8_t* at = codes + static_cast<int64_t>(b) * 512 + 64 * g + 4 * (row0 + v * I::kRows);
          const auto w = I::split(I::load_bytes(at));
          for (int t = 0; t < T; ++t) sum[t][v] = I::dot8(sum[t][v], w, x[t][b].q + 4 * g);
        }
      }
      for (int v = 0; v < V; ++v) {
        const auto scale = I::load_f16(scales + static_cast<int64_t>(b) * 32 + 2 * (row0 + v * I::kRows));
        for (int t = 0; t < T; ++t) {
          const auto n = I::to_float(I::total8(sum[t][v], x[t][b]));
          acc[t][v] = I::fma(n, I::mul(scale, I::set1(x[t][b].scale)), acc[t][v]);
        }
      }
    }
  }
};

template <class I, Format F>
struct FloatProduct {
  static constexpr int kSums = 1;
  template <int T, int V>
  SKEP_INLINE void run(const uint8_t*, const uint8_t* codes, int columns, int row0, const float* const* x,
                       typename I::F32 (*acc)[V]) {
    constexpr int kWidth = F == Format::f32 ? 4 : 2;
    for (int k = 0; k < columns; ++k) {
      for (int v = 0; v < V; ++v) {
        const uint8_t* at = codes + kWidth * (static_cast<int64_t>(kTileRows) * k + row0 + v * I::kRows);
        typename I::F32 w;
        if constexpr (F == Format::f16) w = I::load_f16(at);
        if constexpr (F == Format::bf16) w = I::load_bf16(at);
        if constexpr (F == Format::f32) w = I::load(reinterpret_cast<const float*>(at));
        for (int t = 0; t < T; ++t) acc[t][v] = I::fma(w, I::set1(x[t][k]), acc[t][v]);
      }
    }
  }
};

// Stores or adds the accumulators; rows past the matrix's last are padding of its last tile.
template <class I>
SKEP_INLINE void put(typename I::F32 acc, float* out, int rows_left, bool accumulate) {
  if (rows_left >= I::kRows) {
    I::store(out, accumulate ? I::add(I::load(out), acc) : acc);
    return;
  }
  float rows[I::kRows];
  I::store(rows, acc);
  for (int r = 0; r < rows_left; ++r) out[r] = accumulate ? out[r] + rows[r] : rows[r];
}

template <class I, class Product, int T, class X>
[[gnu::noinline]] void tile_group(const GemmArguments& g, int tile, const uint8_t* scales, const uint8_t* codes,
                                  const X* const* x, int first_token) {
  constexpr int V = I::vectors(Product::kSums, T);
  const Matrix& w = g.weights;
  for (int row0 = 0; row0 < kTileRows; row0 += V * I::kRows) {
    typename I::F32 acc[T][V];
    for (int t = 0; t < T; ++t) {
      for (int v = 0; v < V; ++v) acc[t][v] = I::zero();
    }
    Product::template run<T, V>(scales, codes, w.columns, row0, x, acc);
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
                           const X* const* x, int first_token) {
  if (size == T) return tile_group<I, Product, T>(g, tile, scales, codes, x, first_token);
  if constexpr (T > 1) run_group<I, Product, T - 1>(size, g, tile, scales, codes, x, first_token);
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
        run_group<I, Product, I::kGroup>(size, g, tile, scales, codes, x, t);
        t += size;
      }
    }
  }
}

template <class I>
void gemm(const GemmArguments& g) {
  const ActivationBlock* q = g.quantized;
  const int64_t blocks = g.weights.columns / kBlock, columns = g.weights.columns;
  switch (g.weights.format) {
    case Format::q4_0:
      return over_tiles<I, BlockProduct<I, 4, 8, BlockScales<I, false>>>(g, q, blocks);
    case Format::q4_1:
      return over_tiles<I, BlockProduct<I, 4, 0, BlockScales<I, true>>>(g, q, blocks);
    case Format::q5_0:
      return over_tiles<I, BlockProduct<I, 5, 16, BlockScales<I, false>>>(g, q, blocks);
    case Format::q5_1:
      return over_tiles<I, BlockProduct<I, 5, 16, BlockScales<I, true>>>(g, q, blocks);
    case Format::q8_0:
      return over_tiles<I, Q8Product<I>>(g, q, blocks);
    case Format::q4_k:
      return over_tiles<I, BlockProduct<I, 4, 0, SuperBlockScales<I>>>(g, q, blocks);
    case Format::q5_k:
      return over_tiles<I, BlockProduct<I, 5, 16, SuperBlockScales<I>>>(g, q, blocks);
    case Format::q6_k:
      return over_tiles<I, Q6KProduct<I>>(g, q, blocks);
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
