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

// Turns the scores of a page into probabilities relative to the new maximum; returns what earlier ones are scaled by.
SKEP_INLINE float page_softmax(float* s, int visible, const float* key_scales, float scale, QueryState& state) {
  float lanes[kPageTokens];
  for (int t = 0; t < kPageTokens; ++t) {
    s[t] *= key_scales == nullptr ? scale : key_scales[t] * scale;
    s[t] = t < visible ? s[t] : -__builtin_inff();
    lanes[t] = s[t];
  }
  const float largest = larger(state.largest, max16(lanes));
  const float c = state.total > 0 ? exp_fixed(state.largest - largest) : 0.0F;
  for (int t = 0; t < kPageTokens; ++t) {
    const float e = exp_fixed(s[t] - largest);
    s[t] = t < visible ? e : 0.0F;
    lanes[t] = s[t];
  }
  state.total = state.total * c + sum16(lanes);
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
    c[i] = page_softmax(s[i], visible[i], T == KvType::q8 ? key_scales : nullptr, a.scale, states[query[i]]);
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
    // The queries that see any of this page, at most four at a time. A masked token of a page that is seen counts with
    // probability zero; a page that is not seen at all is not touched.
    int query[4], visible[4];
    int n = 0;
    const auto flush = [&] {
      const uint8_t* at = a.pages[page];
      if (n == 1) page_step<I, T, 1>(a, at, query, visible, states, acc);
      if (n == 2) page_step<I, T, 2>(a, at, query, visible, states, acc);
      if (n == 3) page_step<I, T, 3>(a, at, query, visible, states, acc);
      if (n == 4) page_step<I, T, 4>(a, at, query, visible, states, acc);
      n = 0;
    };
    for (int i = 0; i < a.queries; ++i) {
      const int seen = a.visible[i] - page * kPageTokens;
      if (seen <= 0) continue;
      query[n] = i;
      visible[n] = seen < kPageTokens ? seen : kPageTokens;
      if (++n == 4) flush();
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
