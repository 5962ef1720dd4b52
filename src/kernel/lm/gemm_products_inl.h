#pragma once
// What one tile times a few tokens is, for every format, over an instruction set I (isa_*.h). A product computes some
// vectors of rows for some tokens at once: each activation that is broadcast serves all its vectors, each code all its
// tokens, and the integer sums of all of them live in registers.

#include "kernel/lm/inline.h"
#include "kernel/lm/kernels.h"

namespace skep::kernel::lm {
namespace {

// Scales of one block and I::kRows rows: weight = scale * (code - zero) + offset.
template <class I>
struct RowScales {
  typename I::F32 scale, offset;
};

// The scales of a pass's V vectors of rows. enter() comes before each block, load() gives a vector's.
template <class I, bool Offset>
struct BlockScales {  // f16 per block
  static constexpr bool kOffset = Offset;
  static constexpr int kBlockBytes = Offset ? 64 : 32;
  static constexpr bool kDear = false;  // to compute
  template <int V>
  struct Rows {
    const uint8_t* at;
    [[gnu::always_inline]] void enter(const uint8_t* section, int block, int row0) {
      at = section + static_cast<int64_t>(block) * (Offset ? 64 : 32) + 2 * row0;
    }
    [[gnu::always_inline]] RowScales<I> load(int v) const {
      return {I::load_f16(at + 2 * v * I::kRows), Offset ? I::load_f16(at + 32 + 2 * v * I::kRows) : I::zero()};
    }
  };
};

template <class I>
struct SuperBlockScales {  // Q4_K, Q5_K: f16 per super-block times u8 per block
  static constexpr bool kOffset = true;
  static constexpr int kBlockBytes = 40;  // on average
  static constexpr bool kDear = true;
  template <int V>
  struct Rows {
    typename I::F32 d[V], m[V];
    const uint8_t* at;
    [[gnu::always_inline]] void enter(const uint8_t* section, int block, int row0) {
      const uint8_t* super = section + static_cast<int64_t>(block / 8) * (64 + 8 * 32);
      for (int v = 0; v < V && block % 8 == 0; ++v) {
        d[v] = I::load_f16(super + 2 * (row0 + v * I::kRows));
        m[v] = I::negate(I::load_f16(super + 32 + 2 * (row0 + v * I::kRows)));
      }
      at = super + 64 + block % 8 * 32 + row0;
    }
    [[gnu::always_inline]] RowScales<I> load(int v) const {
      return {I::mul(d[v], I::load_u8(at + v * I::kRows)), I::mul(m[v], I::load_u8(at + 16 + v * I::kRows))};
    }
  };
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

// Has the next tile's block, `ahead` bytes behind this one (0: none), brought into the cache: while a few tokens are
// multiplied, memory would stand idle otherwise.
template <int Bits>
SKEP_INLINE void fetch(const uint8_t* scales, const uint8_t* codes, int64_t ahead) {
  if (ahead == 0) return;
  __builtin_prefetch(scales + ahead);
  for (int i = 0; i < Bits; ++i) __builtin_prefetch(codes + ahead + 64 * i);
}

// Each product computes V * I::kRows rows of a tile, from row0 on, for T tokens over all columns, into acc[T][V]. The
// largest V whose sums fit the registers is I::vectors(sums per token and vector, T).

template <class I, int Bits, int Zero, class S>
struct BlockProduct {  // 4 and 5 bits
  static constexpr int kSums = 1;
  template <int T, int V>
  SKEP_INLINE void run(const uint8_t* scales, const uint8_t* codes, int64_t ahead, int columns, int row0,
                       const ActivationBlock* const* x, typename I::F32 (*acc)[V]) {
    using F32 = typename I::F32;
    typename S::template Rows<V> rows;
    for (int b = 0; b < columns / kBlock; ++b) {
      rows.enter(scales, b, row0);
      fetch<Bits>(scales + b * S::kBlockBytes, codes + static_cast<int64_t>(b) * 64 * Bits, ahead);
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
        RowScales<I> s = rows.load(v);
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

// The same integers where an instruction multiplies two tokens at once (isa_neon_i8mm.h); a last odd token goes as
// above.
template <class I, int Bits, int Zero, class S>
struct PairProduct {
  static constexpr int kSums = 1;
  template <int T, int V>
  SKEP_INLINE void run(const uint8_t* scales, const uint8_t* codes, int64_t ahead, int columns, int row0,
                       const ActivationBlock* const* x, typename I::F32 (*acc)[V]) {
    if constexpr (T >= 2) {
      constexpr int kPairs = T / 2;
      typename S::template Rows<V> rows;
      for (int b = 0; b < columns / kBlock; ++b) {
        rows.enter(scales, b, row0);
        fetch<Bits>(scales + b * S::kBlockBytes, codes + static_cast<int64_t>(b) * 64 * Bits, ahead);
        typename I::PairSums sum[kPairs][V];
        for (int p = 0; p < kPairs; ++p) {
          for (int v = 0; v < V; ++v) sum[p][v] = I::template start_pair<Zero>(x[2 * p][b], x[2 * p + 1][b]);
        }
        typename I::Bytes low[V];  // of groups 0..3, then what belongs to them comes as groups 4..7
        each_code_group<I, Bits, V>(
            codes + static_cast<int64_t>(b) * 64 * Bits,
            row0, [&](int g, const typename I::Bytes* w) __attribute__((always_inline)) {
              for (int v = 0; v < V; ++v) {
                if (g < 4) {
                  low[v] = w[v];
                  continue;
                }
                const auto pairs = I::row_pairs(low[v], w[v]);
                for (int p = 0; p < kPairs; ++p) {
                  sum[p][v] = I::multiply(sum[p][v], pairs, I::token_pair(x[2 * p][b], x[2 * p + 1][b], g - 4));
                }
              }
            });
        for (int v = 0; v < V; ++v) {
          RowScales<I> s = rows.load(v);
          if constexpr (S::kOffset && Zero == 16) s.offset = I::fma(I::set1(16.0F), s.scale, s.offset);
          for (int t = 0; t < 2 * kPairs; ++t) {
            const auto n = I::to_float(t % 2 == 0 ? I::total_of_x(sum[t / 2][v]) : I::total_of_y(sum[t / 2][v]));
            acc[t][v] = I::fma(n, I::mul(s.scale, I::set1(x[t][b].scale)), acc[t][v]);
            if constexpr (S::kOffset) acc[t][v] = I::fma(s.offset, I::set1(x[t][b].scaled_sum), acc[t][v]);
          }
        }
      }
    }
    if constexpr (T % 2 == 1) {
      BlockProduct<I, Bits, Zero, S>::template run<1, V>(scales, codes, 0, columns, row0, x + T - 1, acc + T - 1);
    }
  }
};

template <class I>
struct Q6KProduct {  // an int8 scale per 16 columns, multiplied in integers
  static constexpr int kSums = 2;
  template <int T, int V>
  SKEP_INLINE void run(const uint8_t* scales, const uint8_t* codes, int64_t ahead, int columns, int row0,
                       const ActivationBlock* const* x, typename I::F32 (*acc)[V]) {
    for (int b = 0; b < columns / kBlock; ++b) {
      const uint8_t* super = scales + static_cast<int64_t>(b / 8) * (32 + 16 * 16);
      fetch<6>(scales + b * 36, codes + static_cast<int64_t>(b) * 64 * 6, ahead);
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
  static constexpr int kSums = 1;
  template <int T, int V>
  SKEP_INLINE void run(const uint8_t* scales, const uint8_t* codes, int64_t ahead, int columns, int row0,
                       const ActivationBlock* const* x, typename I::F32 (*acc)[V]) {
    for (int b = 0; b < columns / kBlock; ++b) {
      fetch<8>(scales + b * 32, codes + static_cast<int64_t>(b) * 512, ahead);
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
  SKEP_INLINE void run(const uint8_t*, const uint8_t* codes, int64_t ahead, int columns, int row0,
                       const float* const* x, typename I::F32 (*acc)[V]) {
    constexpr int kWidth = F == Format::f32 ? 4 : 2;
    for (int k = 0; k < columns; ++k) {
      if (ahead != 0) __builtin_prefetch(codes + static_cast<int64_t>(kWidth) * kTileRows * k + ahead);
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

}  // namespace
}  // namespace skep::kernel::lm
