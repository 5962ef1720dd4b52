// Predict, correct, normalise: the filter kernels.
//
// Included once per target from belief_kernels.cc, hence the guard that toggles.

#if defined(SKEP_KERNEL_BELIEF_FILTER_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SKEP_KERNEL_BELIEF_FILTER_INL_H
#undef SKEP_KERNEL_BELIEF_FILTER_INL_H
#else
#define SKEP_KERNEL_BELIEF_FILTER_INL_H
#endif

#include <algorithm>

#include "kernel/belief_kernels.h"
#include "kernel/belief_math_inl.h"
#include "kernel/belief_product_inl.h"

HWY_BEFORE_NAMESPACE();
namespace skep::kernel::HWY_NAMESPACE {
namespace {

template <class D, typename M>
HWY_INLINE hn::Vec<D> Likelihood(D d, const M* const* rows, size_t modalities, size_t at, hn::Vec<D> p) {
  for (size_t m = 0; m < modalities; ++m) {
    if (rows[m] != nullptr) p = hn::Mul(p, LoadModel(d, rows[m] + at));
  }
  return p;
}

// The rare case: the observation was impossible, so the prediction stands. Not worth vectors.
template <typename T>
HWY_NOINLINE void KeepPrediction(const T* transition, size_t states, size_t stride, const T* source, T* scratch,
                                 T* target, T* evidence) {
  T sum = 0;
  for (size_t next = 0; next < stride; ++next) {
    T p = transition == nullptr ? source[next] : T(0);
    for (size_t s = 0; s < states && transition != nullptr; ++s) p += transition[s * stride + next] * source[s];
    scratch[next] = p;
    sum += p;
  }
  for (size_t next = 0; next < stride; ++next) target[next] = scratch[next] / sum;
  *evidence = T(kImpossible);
}

// p ∘ likelihood.
template <size_t NV, class D, typename T>
HWY_INLINE void Weigh(D d, const T* HWY_RESTRICT likelihood, hn::Vec<D> (&p)[NV]) {
#pragma GCC unroll 16
  for (size_t v = 0; v < NV; ++v) p[v] = hn::Mul(p[v], hn::Load(d, likelihood + v * hn::Lanes(d)));
}

// The sum of all lanes, by halves: the scalar comes out earlier than a vector that repeats it.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE T Sum(D d, hn::Vec<D> v) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(D()) * sizeof(T) > 16) {
    const hn::Half<D> half;
    return Sum(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
#endif
  return hn::GetLane(hn::SumOfLanes(d, v));
}

// Normalises and stores p, which came of `transition` and `source`.
template <size_t NV, class D, typename T>
HWY_INLINE void Normalise(D d, const hn::Vec<D> (&p)[NV], const T* transition, size_t states, const T* source,
                          T* scratch, T* HWY_RESTRICT target, T* evidence) {
  const size_t lanes = hn::Lanes(d);
  auto total = p[0];
#pragma GCC unroll 16
  for (size_t v = 1; v < NV; ++v) total = hn::Add(total, p[v]);
  const T z = Sum(d, total);
  if (HWY_UNLIKELY(!(z >= T(kImpossible)))) {
    KeepPrediction(transition, states, NV * lanes, source, scratch, target, evidence);
    return;
  }
  const auto scale = hn::Set(d, T(1) / z);
#pragma GCC unroll 16
  for (size_t v = 0; v < NV; ++v) hn::Store(hn::Mul(p[v], scale), d, target + v * lanes);
  *evidence = z;
}

// Corrects, normalises and stores the prediction p of agent i.
template <size_t NV, class D, typename T>
HWY_INLINE void Correct(D d, const FilterArgs<T>& a, size_t i, hn::Vec<D> (&p)[NV]) {
  const T* const* likelihood = a.likelihood + i * a.modalities;
  for (size_t m = 0; m < a.modalities; ++m) {
    if (likelihood[m] != nullptr) Weigh(d, likelihood[m], p);
  }
  Normalise(d, p, a.transition, a.states, a.source[i], a.scratch, a.target[i], a.evidence + i);
}

// `count` agents from `first`: a constant NA for a whole block, which leaves no trace of the bounds.
template <size_t NV, size_t NA, class D, typename T>
HWY_INLINE void FilterBlock(D d, const FilterArgs<T>& a, size_t first, size_t count) {
  // A short tail repeats its last agent in the spare places and drops what they give.
  const T* q[NA];
#pragma GCC unroll 16
  for (size_t i = 0; i < NA; ++i) q[i] = a.source[first + (i < count ? i : count - 1)];
  hn::Vec<D> acc[NA][NV];
  Product<NV, NA>(d, a.transition, NV * hn::Lanes(d), a.states, q, acc);
#pragma GCC unroll 16
  for (size_t i = 0; i < NA; ++i) {
    if (i < count) Correct<NV>(d, a, first + i, acc[i]);
  }
}

template <size_t NV, class D, typename T>
void FilterNarrow(D d, const FilterArgs<T>& a) {
  constexpr size_t NA = kAgents<NV>;
  size_t first = 0;
  for (; first + NA <= a.n; first += NA) FilterBlock<NV, NA>(d, a, first, NA);
  const size_t left = a.n - first;
  if (left == 1) {
    hn::Vec<D> acc[1][NV];
    ProductOne<NV>(d, a.transition, NV * hn::Lanes(d), a.states, a.source[first], static_cast<const T*>(nullptr), acc);
    Correct<NV>(d, a, first, acc[0]);
  } else if (left > 0) {
    FilterBlock<NV, NA>(d, a, first, left);
  }
}

template <class D, typename T>
void FilterWide(D d, const FilterArgs<T>& a, size_t stride) {
  constexpr size_t NA = kWideAgents;
  const size_t lanes = hn::Lanes(d);
  for (size_t first = 0; first < a.n; first += NA) {
    const size_t left = std::min(NA, a.n - first);
    const T* q[NA];
    for (size_t i = 0; i < NA; ++i) q[i] = a.source[first + std::min(i, left - 1)];
    Support support;
    support.find(q, a.states);
    hn::Vec<D> sum[NA];
    for (size_t i = 0; i < NA; ++i) sum[i] = hn::Zero(d);
    ForColumnBlocks(stride / lanes, lanes, [&](auto width, size_t at) HWY_ATTR {
      constexpr size_t NV = decltype(width)::value;
      hn::Vec<D> acc[NA][NV];
      support.product(d, a.transition + at, stride, q, acc);
      for (size_t i = 0; i < left; ++i) {
        const T* const* likelihood = a.likelihood + (first + i) * a.modalities;
        for (size_t v = 0; v < NV; ++v) {
          const auto p = Likelihood(d, likelihood, a.modalities, at + v * lanes, acc[i][v]);
          sum[i] = hn::Add(sum[i], p);
          hn::Store(p, d, a.scratch + i * stride + at + v * lanes);
        }
      }
    });
    for (size_t i = 0; i < left; ++i) {
      const auto total = hn::SumOfLanes(d, sum[i]);
      const T z = hn::GetLane(total);
      if (HWY_UNLIKELY(!(z >= T(kImpossible)))) {
        KeepPrediction(a.transition, a.states, stride, a.source[first + i], a.scratch + NA * stride,
                       a.target[first + i], a.evidence + first + i);
        continue;
      }
      const auto scale = hn::Div(hn::Set(d, T(1)), total);
      for (size_t at = 0; at < stride; at += lanes) {
        hn::Store(hn::Mul(hn::Load(d, a.scratch + i * stride + at), scale), d, a.target[first + i] + at);
      }
      a.evidence[first + i] = z;
    }
  }
}

// The prediction is given: correct and normalise.
template <class D, typename M, typename T>
void CorrectRow(D d, size_t stride, const T* source, const M* const* likelihood, size_t modalities, T* scratch,
                T* target, T* evidence) {
  const size_t lanes = hn::Lanes(d);
  auto sum = hn::Zero(d);
  for (size_t at = 0; at < stride; at += lanes) {
    const auto p = Likelihood(d, likelihood, modalities, at, hn::Load(d, source + at));
    sum = hn::Add(sum, p);
    hn::Store(p, d, scratch + at);
  }
  const auto total = hn::SumOfLanes(d, sum);
  const T z = hn::GetLane(total);
  if (!(z >= T(kImpossible))) {
    KeepPrediction<T>(nullptr, 0, stride, source, scratch, target, evidence);
    return;
  }
  const auto scale = hn::Div(hn::Set(d, T(1)), total);
  for (size_t at = 0; at < stride; at += lanes) hn::Store(hn::Mul(hn::Load(d, scratch + at), scale), d, target + at);
  *evidence = z;
}

template <class D, typename T>
void FilterWith(D d, const FilterArgs<T>& a) {
  const size_t stride = belief_stride<T>(a.states);
  if (a.transition == nullptr) {
    for (size_t i = 0; i < a.n; ++i) {
      CorrectRow(d, stride, a.source[i], a.likelihood + i * a.modalities, a.modalities, a.scratch, a.target[i],
                 a.evidence + i);
    }
    return;
  }
  switch (stride / hn::Lanes(d)) {
    case 1:
      return FilterNarrow<1>(d, a);
    case 2:
      return FilterNarrow<2>(d, a);
    case 3:
      return FilterNarrow<3>(d, a);
    case 4:
      return FilterNarrow<4>(d, a);
    default:
      return FilterWide(d, a, stride);
  }
}

template <typename T>
void Filter(const FilterArgs<T>& a) {
  WithTag<T>(a.states, [&](auto d) HWY_ATTR { FilterWith(d, a); });
}

// Asks for `bytes` at `at`, if there is something.
HWY_INLINE void PrefetchLines(const void* at, size_t bytes) {
  if (at == nullptr) return;
  for (size_t line = 0; line < bytes; line += 64) hwy::Prefetch(static_cast<const char*>(at) + line);
}

template <typename T, typename M>
void FilterOwn(const FilterOwnArgs<T, M>& a) {
  const size_t stride = belief_stride<T>(a.states);
  WithTag<T>(a.states, [&](auto d) HWY_ATTR {
    T* prior = a.scratch;
    for (size_t i = 0; i < a.n; ++i) {
      const size_t next = i + a.ahead;
      const bool prefetch = a.ahead > 0 && next < a.n;
      for (size_t m = 0; prefetch && m < a.modalities; ++m)
        PrefetchLines(a.likelihood[next * a.modalities + m], stride * sizeof(M));
      const T* source = a.source[i];
      if (a.transition[i] != nullptr) {
        PredictRow(d, a.transition[i], a.states, stride, source, prefetch ? a.transition[next] : nullptr, prior);
        source = prior;
      }
      CorrectRow(d, stride, source, a.likelihood + i * a.modalities, a.modalities, prior + stride, a.target[i],
                 a.evidence + i);
    }
  });
}

template <typename T>
void Predict(const FilterArgs<T>& a) {
  const size_t stride = belief_stride<T>(a.states);
  WithTag<T>(a.states, [&](auto d) HWY_ATTR {
    constexpr size_t NA = kWideAgents;
    const size_t lanes = hn::Lanes(d);
    for (size_t first = 0; first < a.n; first += NA) {
      const size_t left = std::min(NA, a.n - first);
      const T* q[NA];
      for (size_t i = 0; i < NA; ++i) q[i] = a.source[first + std::min(i, left - 1)];
      Support support;
      support.find(q, a.states);
      ForColumnBlocks(stride / lanes, lanes, [&](auto width, size_t at) HWY_ATTR {
        constexpr size_t NV = decltype(width)::value;
        hn::Vec<decltype(d)> acc[NA][NV];
        support.product(d, a.transition + at, stride, q, acc);
        for (size_t i = 0; i < left; ++i) {
          for (size_t v = 0; v < NV; ++v) hn::Store(acc[i][v], d, a.target[first + i] + at + v * lanes);
        }
      });
    }
  });
}

}  // namespace
}  // namespace skep::kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
