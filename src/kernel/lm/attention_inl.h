#pragma once
// Paged attention (kernels.h: AttentionArguments) over an instruction set I. Scores have the page's 16 tokens in the
// lanes, values have 16 elements of the head in the lanes: no sum crosses lanes but the softmax's own.

#include "kernel/lm/elementwise_inl.h"
#include "kernel/lm/inline.h"
#include "kernel/lm/kernels.h"

namespace skep::kernel::lm {
namespace {

template <class I, KvType T>
SKEP_INLINE typename I::F32 load_kv(const uint8_t* base, int64_t element) {
  if constexpr (T == KvType::f16) return I::load_f16(base + 2 * element);
  if constexpr (T == KvType::bf16) return I::load_bf16(base + 2 * element);
  if constexpr (T == KvType::q8) return I::load_i8(base + element);
}

inline constexpr int kQueriesAtOnce = 6;  // whose sums fit the registers beside a key

// What online softmax remembers of one query between pages.
struct QueryState {
  float largest, total;
};

// s[i][t] = Σ_d q[i][d] k[d][t] for N queries.
template <class I, KvType T, int N>
SKEP_INLINE void page_scores(const uint8_t* keys, int head_size, const float* const* q, float (*s)[kPageTokens]) {
  constexpr int kParts = kPageTokens / I::kRows;
  typename I::F32 acc[N][kParts];
  for (int i = 0; i < N; ++i) {
    for (int p = 0; p < kParts; ++p) acc[i][p] = I::zero();
  }
  for (int d = 0; d < head_size; ++d) {
    typename I::F32 k[kParts];
    for (int p = 0; p < kParts; ++p) k[p] = load_kv<I, T>(keys, int64_t{d} * kPageTokens + p * I::kRows);
    for (int i = 0; i < N; ++i) {
      const auto x = I::set1(q[i][d]);
      for (int p = 0; p < kParts; ++p) acc[i][p] = I::fma(x, k[p], acc[i][p]);
    }
  }
  for (int i = 0; i < N; ++i) {
    for (int p = 0; p < kParts; ++p) I::store(s[i] + p * I::kRows, acc[i][p]);
  }
}

// acc[i][d] = acc[i][d] * c[i] + Σ_t p[i][t] v[t][d] for N queries.
template <class I, KvType T, int N>
SKEP_INLINE void page_values(const uint8_t* values, int head_size, const float (*p)[kPageTokens], const float* c,
                             float* const* acc) {
  constexpr int kParts = 16 / I::kRows;
  for (int d0 = 0; d0 < head_size; d0 += 16) {
    typename I::F32 a[N][kParts];
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < kParts; ++j) a[i][j] = I::mul(I::load(acc[i] + d0 + j * I::kRows), I::set1(c[i]));
    }
    for (int t = 0; t < kPageTokens; ++t) {
      typename I::F32 v[kParts];
      for (int j = 0; j < kParts; ++j) v[j] = load_kv<I, T>(values, int64_t{t} * head_size + d0 + j * I::kRows);
      for (int i = 0; i < N; ++i) {
        const auto x = I::set1(p[i][t]);
        for (int j = 0; j < kParts; ++j) a[i][j] = I::fma(x, v[j], a[i][j]);
      }
    }
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < kParts; ++j) I::store(acc[i] + d0 + j * I::kRows, a[i][j]);
    }
  }
}

// elementwise_inl.h: exp_fixed, the same operations in vectors.
template <class I>
SKEP_INLINE typename I::F32 exp_lanes(typename I::F32 x) {
  using F32 = typename I::F32;
  x = I::smaller(I::set1(88.0F), I::larger(I::set1(-87.0F), x));
  const F32 shifted = I::fma(x, I::set1(1.44269504F), I::set1(12582912.0F));
  const F32 n = I::sub(shifted, I::set1(12582912.0F));
  F32 r = I::fma(n, I::set1(-0.693145752F), x);
  r = I::fma(n, I::set1(-1.42860677e-6F), r);
  F32 p = I::set1(1.0F / 720.0F);
  for (const float c : {1.0F / 120.0F, 1.0F / 24.0F, 1.0F / 6.0F, 0.5F, 1.0F, 1.0F}) p = I::fma(p, r, I::set1(c));
  return I::scale_by_power(p, shifted);
}

// Sixteen lanes held in parts combined to one: 16 → 8 → 4 → 2 → 1.
template <class I, class Combine>
SKEP_INLINE typename I::F32 fold(const typename I::F32* parts, Combine&& combine) {
  if constexpr (I::kRows == 16) return parts[0];
  if constexpr (I::kRows == 8) return combine(parts[0], parts[1]);
  if constexpr (I::kRows == 4) return combine(combine(parts[0], parts[2]), combine(parts[1], parts[3]));
}

// Turns the scores of a page into probabilities relative to the new maximum; returns what earlier ones are scaled by.
template <class I>
SKEP_INLINE float page_softmax(float* s, int visible, const float* key_scales, float scale, QueryState& state) {
  using F32 = typename I::F32;
  constexpr int kParts = kPageTokens / I::kRows;
  F32 x[kParts];
  for (int p = 0; p < kParts; ++p) {
    const int at = p * I::kRows;
    const F32 by = key_scales == nullptr ? I::set1(scale) : I::mul(I::load(key_scales + at), I::set1(scale));
    x[p] = I::keep_below(I::mul(I::load(s + at), by), I::set1(-__builtin_inff()), at, visible);
  }
  const auto add = [](F32 a, F32 b) __attribute__((always_inline)) { return I::add(a, b); };
  const auto most = [](F32 a, F32 b) __attribute__((always_inline)) { return I::larger(a, b); };
  const float largest = larger(state.largest, I::max_lanes(fold<I>(x, most)));
  const float c = state.total > 0 ? exp_fixed(state.largest - largest) : 0.0F;
  for (int p = 0; p < kParts; ++p) {
    const int at = p * I::kRows;
    x[p] = I::keep_below(exp_lanes<I>(I::sub(x[p], I::set1(largest))), I::zero(), at, visible);
    I::store(s + at, x[p]);
  }
  state.total = state.total * c + I::sum_lanes(fold<I>(x, add));
  state.largest = largest;
  return c;
}

template <class I, KvType T, int N>
[[gnu::noinline]] void page_step(const AttentionArguments& a, const uint8_t* page, const int* query, const int* visible,
                                 QueryState* states, float* all_acc) {
  const uint8_t* keys = page + a.keys_at;
  const uint8_t* values = page + a.values_at;
  const float* q[N];
  float* acc[N];
  alignas(64) float s[N][kPageTokens];
  float c[N];
  for (int i = 0; i < N; ++i) {
    q[i] = a.q[query[i]];
    acc[i] = all_acc + static_cast<int64_t>(query[i]) * a.head_size;
  }
  page_scores<I, T, N>(keys, a.head_size, q, s);
  float key_scales[kPageTokens], value_scales[kPageTokens];
  if constexpr (T == KvType::q8) {
    std::memcpy(key_scales, keys + int64_t{kPageTokens} * a.head_size, sizeof key_scales);
    std::memcpy(value_scales, values + int64_t{kPageTokens} * a.head_size, sizeof value_scales);
  }
  for (int i = 0; i < N; ++i) {
    c[i] = page_softmax<I>(s[i], visible[i], T == KvType::q8 ? key_scales : nullptr, a.scale, states[query[i]]);
    if constexpr (T == KvType::q8) {
      for (int t = 0; t < kPageTokens; ++t) s[i][t] *= value_scales[t];
    }
  }
  page_values<I, T, N>(values, a.head_size, s, c, acc);
}

template <class I, KvType T>
void paged_attention(const AttentionArguments& a) {
  QueryState states[kMaxQueries];
  alignas(64) float acc[kMaxQueries * kMaxHeadSize];
  int longest = 0;
  for (int i = 0; i < a.queries; ++i) {
    states[i] = {-__builtin_inff(), 0.0F};
    longest = a.visible[i] > longest ? a.visible[i] : longest;
  }
  for (int i = 0; i < a.queries * a.head_size; ++i) acc[i] = 0.0F;
  for (int page = 0; page * kPageTokens < longest; ++page) {
    // The queries that see any of this page, a few at a time. A masked token of a page that is seen counts with
    // probability zero; a page that is not seen at all is not touched.
    int query[kQueriesAtOnce], visible[kQueriesAtOnce];
    int n = 0;
    const auto flush = [&] {
      const uint8_t* at = a.pages[page];
      if (n == 1) page_step<I, T, 1>(a, at, query, visible, states, acc);
      if (n == 2) page_step<I, T, 2>(a, at, query, visible, states, acc);
      if (n == 3) page_step<I, T, 3>(a, at, query, visible, states, acc);
      if (n == 4) page_step<I, T, 4>(a, at, query, visible, states, acc);
      if (n == 5) page_step<I, T, 5>(a, at, query, visible, states, acc);
      if (n == 6) page_step<I, T, 6>(a, at, query, visible, states, acc);
      n = 0;
    };
    for (int i = 0; i < a.queries; ++i) {
      const int seen = a.visible[i] - page * kPageTokens;
      if (seen <= 0) continue;
      query[n] = i;
      visible[n] = seen < kPageTokens ? seen : kPageTokens;
      if (++n == kQueriesAtOnce) flush();
    }
    flush();
  }
  for (int i = 0; i < a.queries; ++i) {
    const float inverse = 1.0F / states[i].total;
    for (int d = 0; d < a.head_size; ++d) {
      // Adding zero makes -0 and +0 the same: which one a masked token leaves depends on what the page held before.
      a.out[i][d] = acc[static_cast<int64_t>(i) * a.head_size + d] * inverse + 0.0F;
    }
  }
}

template <class I>
void attention(const AttentionArguments& a) {
  switch (a.type) {
    case KvType::f16:
      return paged_attention<I, KvType::f16>(a);
    case KvType::bf16:
      return paged_attention<I, KvType::bf16>(a);
    case KvType::q8:
      return paged_attention<I, KvType::q8>(a);
  }
}

}  // namespace
}  // namespace skep::kernel::lm
