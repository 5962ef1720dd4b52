// The belief kernels in Highway: this file is compiled once per target.
//
// Register blocking. A block of NA agents that share a transition keeps NA × NV accumulators in registers (NV vectors
// make up a row); per state s it loads NV vectors of column s once and broadcasts NA entries q[s]: NV + NA loads for
// NV · NA multiply-adds. With 16 registers 3 × 4, 6 × 2 and 8 × 1 fit. Rows of more than four vectors go through in
// column blocks.
//
// Logarithm, f32. x = 2^e · m with m in [√½, √2); ln x = e ln 2 + t P(t), t = m - 1. P is the degree-8 polynomial whose
// error against ln(1 + t)/t on that interval is at most 2.7e-8 (fitted on 4,000 Chebyshev nodes), so t P(t) is off by
// at most 1.1e-8 from the fit and about 1.5 ulp of |t P(t)| <= 0.35 from rounding (9e-8); e ln 2 is split in two parts
// so that its product is exact to 2^-24 of |ln x|. Together below 2e-7 + 1.2e-7 |ln x|; the test checks every exponent.

#include "kernel/belief_kernels.h"

#include <algorithm>
#include <cassert>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/belief_kernels.cc"
// foreach_target.h must come before what it compiles once per target.
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace skep::kernel::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kColumnBlock = 4;  // vectors of a row at a time

// Agents at a time for a block of NV vectors, by the size of the register file.
template <size_t NV>
constexpr size_t kAgents = HWY_TARGET == HWY_SCALAR ? 2
#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM
                           : NV == 1 ? 10
                           : NV == 2 ? 8
                           : NV == 3 ? 6
                                     : 5;
#else
                           : NV == 1 ? 8
                           : NV == 2 ? 6
                           : NV == 3 ? 4
                                     : 3;
#endif

template <class D>
HWY_INLINE hn::Vec<D> Ln(D d, hn::Vec<D> x) {
  using T = hn::TFromD<D>;
  if constexpr (sizeof(T) == 8) {
    return hn::Log(d, x);
  } else {
    const hn::RebindToSigned<D> di;
    // Adding what √½ lacks to 1 moves the split of exponent and mantissa from 1 to √½.
    const auto bits = hn::Add(hn::BitCast(di, x), hn::Set(di, 0x3f800000 - 0x3f3504f3));
    const auto e = hn::ConvertTo(d, hn::Sub(hn::ShiftRight<23>(bits), hn::Set(di, 127)));
    const auto m = hn::BitCast(d, hn::Add(hn::And(bits, hn::Set(di, 0x007fffff)), hn::Set(di, 0x3f3504f3)));
    const auto t = hn::Sub(m, hn::Set(d, 1.0f));
    auto p = hn::Set(d, 0.08959912f);
    p = hn::MulAdd(p, t, hn::Set(d, -0.14482185f));
    p = hn::MulAdd(p, t, hn::Set(d, 0.14917378f));
    p = hn::MulAdd(p, t, hn::Set(d, -0.16543739f));
    p = hn::MulAdd(p, t, hn::Set(d, 0.19958417f));
    p = hn::MulAdd(p, t, hn::Set(d, -0.25002947f));
    p = hn::MulAdd(p, t, hn::Set(d, 0.3333416f));
    p = hn::MulAdd(p, t, hn::Set(d, -0.4999998f));
    p = hn::MulAdd(p, t, hn::Set(d, 1.0f));
    // ln 2 = 0.693145752 (exact in 16 bits, so e · it is exact) + 1.42860677e-6
    const auto low = hn::MulAdd(e, hn::Set(d, 1.42860677e-6f), hn::Mul(p, t));
    return hn::MulAdd(e, hn::Set(d, 0.693145752f), low);
  }
}

// sum - p ln p; nothing for p = 0.
template <class D>
HWY_INLINE hn::Vec<D> SubtractPLnP(D d, hn::Vec<D> p, hn::Vec<D> sum) {
  using T = hn::TFromD<D>;
  const auto positive = hn::Max(p, hn::Set(d, T(1e-37)));
  return hn::NegMulAdd(p, Ln(d, positive), sum);
}

// acc[a][v] = Σ_s m[s · pitch + v] q[a][s].
template <size_t NV, size_t NA, class D, typename T>
HWY_INLINE void Product(D d, const T* HWY_RESTRICT m, size_t pitch, size_t states, const T* const* q,
                        hn::Vec<D> (&acc)[NA][NV]) {
  const size_t lanes = hn::Lanes(d);
#pragma GCC unroll 16
  for (size_t a = 0; a < NA; ++a) {
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v) acc[a][v] = hn::Zero(d);
  }
  for (size_t s = 0; s < states; ++s, m += pitch) {
    // The smaller of the two operands stays in registers: NA · NV + min(NA, NV) + 1 of them.
    if constexpr (NV < NA) {
      hn::Vec<D> column[NV];
#pragma GCC unroll 16
      for (size_t v = 0; v < NV; ++v) column[v] = hn::Load(d, m + v * lanes);
#pragma GCC unroll 16
      for (size_t a = 0; a < NA; ++a) {
        const auto weight = hn::Set(d, q[a][s]);
#pragma GCC unroll 16
        for (size_t v = 0; v < NV; ++v) acc[a][v] = hn::MulAdd(column[v], weight, acc[a][v]);
      }
    } else {
      hn::Vec<D> weight[NA];
#pragma GCC unroll 16
      for (size_t a = 0; a < NA; ++a) weight[a] = hn::Set(d, q[a][s]);
#pragma GCC unroll 16
      for (size_t v = 0; v < NV; ++v) {
        const auto column = hn::Load(d, m + v * lanes);
#pragma GCC unroll 16
        for (size_t a = 0; a < NA; ++a) acc[a][v] = hn::MulAdd(column, weight[a], acc[a][v]);
      }
    }
  }
}

// One agent: two states at a time, for twice as many independent chains of additions.
template <size_t NV, class D, typename T>
HWY_INLINE void ProductOne(D d, const T* HWY_RESTRICT m, size_t pitch, size_t states, const T* HWY_RESTRICT q,
                           const T* HWY_RESTRICT ahead, hn::Vec<D> (&acc)[1][NV]) {
  const size_t lanes = hn::Lanes(d);
  hn::Vec<D> odd[NV];
#pragma GCC unroll 16
  for (size_t v = 0; v < NV; ++v) acc[0][v] = odd[v] = hn::Zero(d);
  size_t s = 0;
  for (; s + 2 <= states; s += 2, m += 2 * pitch) {
    if (ahead != nullptr) {
      for (size_t line = 0; line < 2 * pitch * sizeof(T); line += 64) {
        hwy::Prefetch(reinterpret_cast<const char*>(ahead + s * pitch) + line);
      }
    }
    const auto even_weight = hn::Set(d, q[s]);
    const auto odd_weight = hn::Set(d, q[s + 1]);
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v) {
      acc[0][v] = hn::MulAdd(hn::Load(d, m + v * lanes), even_weight, acc[0][v]);
      odd[v] = hn::MulAdd(hn::Load(d, m + pitch + v * lanes), odd_weight, odd[v]);
    }
  }
  if (s < states) {
    const auto weight = hn::Set(d, q[s]);
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v) acc[0][v] = hn::MulAdd(hn::Load(d, m + v * lanes), weight, acc[0][v]);
  }
#pragma GCC unroll 16
  for (size_t v = 0; v < NV; ++v) acc[0][v] = hn::Add(acc[0][v], odd[v]);
}

template <class D, typename T>
HWY_INLINE hn::Vec<D> Likelihood(D d, const T* const* rows, size_t modalities, size_t at, hn::Vec<D> p) {
  for (size_t m = 0; m < modalities; ++m) {
    if (rows[m] != nullptr) p = hn::Mul(p, hn::Load(d, rows[m] + at));
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

// Writes one posterior that is whole in registers.
template <size_t NV, class D, typename T>
HWY_INLINE bool Normalise(D d, hn::Vec<D> (&posterior)[NV], T* HWY_RESTRICT target, T* evidence) {
  const size_t lanes = hn::Lanes(d);
  auto sum = posterior[0];
#pragma GCC unroll 16
  for (size_t v = 1; v < NV; ++v) sum = hn::Add(sum, posterior[v]);
  sum = hn::SumOfLanes(d, sum);
  const T z = hn::GetLane(sum);
  if (HWY_UNLIKELY(!(z >= T(kImpossible)))) return false;
  const auto scale = hn::Div(hn::Set(d, T(1)), sum);
#pragma GCC unroll 16
  for (size_t v = 0; v < NV; ++v) hn::Store(hn::Mul(posterior[v], scale), d, target + v * lanes);
  *evidence = z;
  return true;
}

template <size_t NV, class D, typename T>
void FilterNarrow(D d, const FilterArgs<T>& a) {
  constexpr size_t NA = kAgents<NV>;
  const size_t lanes = hn::Lanes(d);
  const size_t stride = NV * lanes;
  for (size_t first = 0; first < a.n;) {
    const size_t left = a.n - first;
    const auto finish = [&](size_t i, hn::Vec<D>(&row)[NV]) HWY_ATTR {
      const T* const* likelihood = a.likelihood + i * a.modalities;
      for (size_t m = 0; m < a.modalities; ++m) {
        const T* HWY_RESTRICT given = likelihood[m];
        if (given == nullptr) continue;
#pragma GCC unroll 16
        for (size_t v = 0; v < NV; ++v) row[v] = hn::Mul(row[v], hn::Load(d, given + v * lanes));
      }
      if (!Normalise<NV>(d, row, a.target[i], a.evidence + i)) {
        KeepPrediction(a.transition, a.states, stride, a.source[i], a.scratch, a.target[i], a.evidence + i);
      }
    };
    if (left == 1) {
      hn::Vec<D> acc[1][NV];
      ProductOne<NV>(d, a.transition, stride, a.states, a.source[first], static_cast<const T*>(nullptr), acc);
      finish(first, acc[0]);
      return;
    }
    // A short tail repeats its last agent in the spare places and drops what they give.
    const T* q[NA];
#pragma GCC unroll 16
    for (size_t i = 0; i < NA; ++i) q[i] = a.source[first + (i < left ? i : left - 1)];
    hn::Vec<D> acc[NA][NV];
    Product<NV, NA>(d, a.transition, stride, a.states, q, acc);
#pragma GCC unroll 16
    for (size_t i = 0; i < NA; ++i) {
      if (i < left) finish(first + i, acc[i]);
    }
    first += NA < left ? NA : left;
  }
}

// Calls f(vectors as a constant, offset) for the column blocks of a row of `vectors` vectors.
template <class F>
HWY_INLINE void ForColumnBlocks(size_t vectors, size_t lanes, F&& f) {
  size_t v = 0;
  for (; v + kColumnBlock <= vectors; v += kColumnBlock) f(std::integral_constant<size_t, 4>(), v * lanes);
  switch (vectors - v) {
    case 1:
      return f(std::integral_constant<size_t, 1>(), v * lanes);
    case 2:
      return f(std::integral_constant<size_t, 2>(), v * lanes);
    case 3:
      return f(std::integral_constant<size_t, 3>(), v * lanes);
    default:
      return;
  }
}

constexpr size_t kWideAgents = 3;

template <class D, typename T>
void FilterWide(D d, const FilterArgs<T>& a, size_t stride) {
  constexpr size_t NA = kWideAgents;
  const size_t lanes = hn::Lanes(d);
  for (size_t first = 0; first < a.n; first += NA) {
    const size_t left = std::min(NA, a.n - first);
    const T* q[NA];
    for (size_t i = 0; i < NA; ++i) q[i] = a.source[first + std::min(i, left - 1)];
    hn::Vec<D> sum[NA];
    for (size_t i = 0; i < NA; ++i) sum[i] = hn::Zero(d);
    ForColumnBlocks(stride / lanes, lanes, [&](auto width, size_t at) HWY_ATTR {
      constexpr size_t NV = decltype(width)::value;
      hn::Vec<D> acc[NA][NV];
      Product<NV, NA>(d, a.transition + at, stride, a.states, q, acc);
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
template <class D, typename T>
void CorrectRow(D d, size_t stride, const T* source, const T* const* likelihood, size_t modalities, T* scratch,
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

// Short rows are half a cache line: a vector of at most 32 bytes.
template <typename T, class F>
HWY_INLINE void WithTag(size_t states, F&& f) {
  if (belief_stride<T>(states) * sizeof(T) == 32) {
    f(hn::CappedTag<T, 32 / sizeof(T)>());
  } else {
    f(hn::CappedTag<T, 64 / sizeof(T)>());
  }
}

template <typename T>
void Filter(const FilterArgs<T>& a) {
  WithTag<T>(a.states, [&](auto d) HWY_ATTR { FilterWith(d, a); });
}

// One own transition times one belief, into `out`; prefetches `ahead`, laid out alike, on the way.
template <class D, typename T>
HWY_INLINE void PredictRow(D d, const T* transition, size_t states, size_t stride, const T* q, const T* ahead, T* out) {
  const size_t lanes = hn::Lanes(d);
  ForColumnBlocks(stride / lanes, lanes, [&](auto width, size_t at) HWY_ATTR {
    constexpr size_t NV = decltype(width)::value;
    hn::Vec<D> acc[1][NV];
    ProductOne<NV>(d, transition + at, stride, states, q, at == 0 ? ahead : nullptr, acc);
    for (size_t v = 0; v < NV; ++v) hn::Store(acc[0][v], d, out + at + v * lanes);
  });
}

template <typename T>
void FilterOwn(const OwnFilterArgs<T>& a) {
  const size_t stride = belief_stride<T>(a.states);
  WithTag<T>(a.states, [&](auto d) HWY_ATTR {
    T* prior = a.scratch;
    for (size_t i = 0; i < a.n; ++i) {
      if (i + 1 < a.n) {
        for (size_t m = 0; m < a.modalities; ++m) {
          const T* row = a.likelihood[(i + 1) * a.modalities + m];
          for (size_t at = 0; row != nullptr && at < stride * sizeof(T); at += 64) {
            hwy::Prefetch(reinterpret_cast<const char*>(row) + at);
          }
        }
      }
      const T* source = a.source[i];
      if (a.transition[i] != nullptr) {
        PredictRow(d, a.transition[i], a.states, stride, source, i + 1 < a.n ? a.transition[i + 1] : nullptr, prior);
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
      ForColumnBlocks(stride / lanes, lanes, [&](auto width, size_t at) HWY_ATTR {
        constexpr size_t NV = decltype(width)::value;
        hn::Vec<decltype(d)> acc[NA][NV];
        Product<NV, NA>(d, a.transition + at, stride, a.states, q, acc);
        for (size_t i = 0; i < left; ++i) {
          for (size_t v = 0; v < NV; ++v) hn::Store(acc[i][v], d, a.target[first + i] + at + v * lanes);
        }
      });
    }
  });
}

template <size_t NV, size_t NA, class D, typename T>
HWY_INLINE void EfeColumns(D d, const EfeArgs<T>& a, const T* const* q, size_t at, size_t pitch,
                           hn::Vec<D> (&total)[NA]) {
  hn::Vec<D> acc[NA][NV];
  Product<NV, NA>(d, a.predictive + at, pitch, a.states, q, acc);
#pragma GCC unroll 16
  for (size_t i = 0; i < NA; ++i) {
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v) total[i] = SubtractPLnP(d, acc[i][v], total[i]);
  }
}

template <size_t NA, class D, typename T>
HWY_INLINE void EfeLinear(D d, const EfeArgs<T>& a, const T* const* q, hn::Vec<D> (&total)[NA]) {
  const size_t lanes = hn::Lanes(d);
  const size_t stride = belief_stride<T>(a.states);
#pragma GCC unroll 16
  for (size_t i = 0; i < NA; ++i) total[i] = hn::Zero(d);
  for (size_t at = 0; at < stride; at += lanes) {
    const auto linear = hn::Load(d, a.linear + at);
#pragma GCC unroll 16
    for (size_t i = 0; i < NA; ++i) total[i] = hn::MulAdd(linear, hn::Load(d, q[i] + at), total[i]);
  }
}

// D spans both the rows over states and those over outcomes: the narrower of the two tags.
template <size_t NV, class D, typename T>
void EfeNarrow(D d, const EfeArgs<T>& a) {
  constexpr size_t NA = kAgents<NV>;
  for (size_t first = 0; first < a.n; first += NA) {
    const size_t left = std::min(NA, a.n - first);
    const T* q[NA];
#pragma GCC unroll 16
    for (size_t i = 0; i < NA; ++i) q[i] = a.beliefs[first + (i < left ? i : left - 1)];
    hn::Vec<D> total[NA];
    EfeLinear<NA>(d, a, q, total);
    if (a.entropy) EfeColumns<NV, NA>(d, a, q, 0, NV * hn::Lanes(d), total);
#pragma GCC unroll 16
    for (size_t i = 0; i < NA; ++i) {
      if (i < left) a.value[first + i] += hn::GetLane(hn::SumOfLanes(d, total[i]));
    }
  }
}

template <class D, typename T>
void EfeWide(D d, const EfeArgs<T>& a, size_t pitch) {
  constexpr size_t NA = kWideAgents;
  const size_t lanes = hn::Lanes(d);
  for (size_t first = 0; first < a.n; first += NA) {
    const size_t left = std::min(NA, a.n - first);
    const T* q[NA];
    for (size_t i = 0; i < NA; ++i) q[i] = a.beliefs[first + std::min(i, left - 1)];
    hn::Vec<D> total[NA];
    EfeLinear<NA>(d, a, q, total);
    if (a.entropy) {
      ForColumnBlocks(pitch / lanes, lanes, [&](auto width, size_t at) HWY_ATTR {
        EfeColumns<decltype(width)::value, NA>(d, a, q, at, pitch, total);
      });
    }
    for (size_t i = 0; i < left; ++i) a.value[first + i] += hn::GetLane(hn::SumOfLanes(d, total[i]));
  }
}

template <typename T>
void Efe(const EfeArgs<T>& a) {
  WithTag<T>(std::min(a.states, a.outcomes), [&](auto d) HWY_ATTR {
    const size_t pitch = belief_stride<T>(a.outcomes);
    switch (pitch / hn::Lanes(d)) {
      case 1:
        return EfeNarrow<1>(d, a);
      case 2:
        return EfeNarrow<2>(d, a);
      case 3:
        return EfeNarrow<3>(d, a);
      case 4:
        return EfeNarrow<4>(d, a);
      default:
        return EfeWide(d, a, pitch);
    }
  });
}

template <typename T>
void EfeOwn(const OwnEfeArgs<T>& a) {
  assert(a.actions <= kMostOwnActions);
  const size_t stride = belief_stride<T>(a.states);
  const size_t pitch = belief_stride<T>(a.outcomes);
  const auto* ahead = static_cast<const char*>(a.prefetch);
  size_t ahead_at = 0;
  // What comes next is asked for in equal shares along the way.
  const size_t shares = a.actions + a.outcomes;
  const auto prefetch = [&](size_t done) HWY_ATTR {
    const size_t until = a.prefetch_bytes * done / shares;
    for (; ahead != nullptr && ahead_at < until; ahead_at += 64) hwy::Prefetch(ahead + ahead_at);
  };
  WithTag<T>(a.states, [&](auto d) HWY_ATTR {
    const size_t lanes = hn::Lanes(d);
    for (size_t u = 0; u < a.actions; ++u) {
      T* next = a.predicted + u * stride;
      PredictRow(d, a.transitions + u * a.states * stride, a.states, stride, a.belief, static_cast<const T*>(nullptr),
                 next);
      auto value = hn::Zero(d);
      for (size_t at = 0; at < stride; at += lanes)
        value = hn::MulAdd(hn::Load(d, a.linear + at), hn::Load(d, next + at), value);
      a.value[u] = hn::GetLane(hn::SumOfLanes(d, value));
      prefetch(u + 1);
    }
    if (!a.entropy) return;
    for (size_t u = 0; u < a.actions; ++u)
      std::fill(a.scratch + u * pitch + a.outcomes, a.scratch + (u + 1) * pitch, T(0));
    for (size_t o = 0; o < a.outcomes; ++o) {
      const T* row = a.likelihood + o * stride;
      for (size_t u = 0; u < a.actions; ++u) {
        auto p = hn::Zero(d);
        for (size_t at = 0; at < stride; at += lanes) {
          p = hn::MulAdd(hn::Load(d, row + at), hn::Load(d, a.predicted + u * stride + at), p);
        }
        a.scratch[u * pitch + o] = hn::GetLane(hn::SumOfLanes(d, p));
      }
      prefetch(a.actions + o + 1);
    }
  });
  if (!a.entropy) return;
  WithTag<T>(a.outcomes, [&](auto d) HWY_ATTR {
    for (size_t u = 0; u < a.actions; ++u) {
      auto sum = hn::Zero(d);
      for (size_t at = 0; at < pitch; at += hn::Lanes(d))
        sum = SubtractPLnP(d, hn::Load(d, a.scratch + u * pitch + at), sum);
      a.value[u] += hn::GetLane(hn::SumOfLanes(d, sum));
    }
  });
}

template <typename T>
void Surprise(const T* x, size_t n, T* out) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) hn::StoreU(hn::Neg(Ln(d, hn::LoadU(d, x + i))), d, out + i);
  for (; i < n; ++i) hn::StoreU(hn::Neg(Ln(one, hn::LoadU(one, x + i))), one, out + i);
}

template <typename T>
void Softmax(T* x, size_t policies, size_t pitch, size_t n, T gamma, const T* ln_prior) {
  const hn::ScalableTag<T> d;
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    auto top = hn::Set(d, T(-3e38));
    for (size_t p = 0; p < policies; ++p) {
      const auto v = hn::MulAdd(hn::LoadU(d, x + p * pitch + i), hn::Set(d, gamma), hn::Set(d, ln_prior[p]));
      hn::StoreU(v, d, x + p * pitch + i);
      top = hn::Max(top, v);
    }
    auto sum = hn::Zero(d);
    for (size_t p = 0; p < policies; ++p) {
      const auto e = hn::Exp(d, hn::Sub(hn::LoadU(d, x + p * pitch + i), top));
      hn::StoreU(e, d, x + p * pitch + i);
      sum = hn::Add(sum, e);
    }
    const auto scale = hn::Div(hn::Set(d, T(1)), sum);
    for (size_t p = 0; p < policies; ++p) {
      hn::StoreU(hn::Mul(hn::LoadU(d, x + p * pitch + i), scale), d, x + p * pitch + i);
    }
  }
}

template <typename T>
T TotalVariation(const T* a, const T* b, size_t stride) {
  const hn::CappedTag<T, 32 / sizeof(T)> d;
  auto sum = hn::Zero(d);
  for (size_t at = 0; at < stride; at += hn::Lanes(d)) {
    sum = hn::Add(sum, hn::Abs(hn::Sub(hn::LoadU(d, a + at), hn::LoadU(d, b + at))));
  }
  return hn::GetLane(hn::SumOfLanes(d, sum)) / 2;
}

template <typename T>
T Entropy(const T* p, size_t stride) {
  const hn::CappedTag<T, 32 / sizeof(T)> d;
  auto sum = hn::Zero(d);
  for (size_t at = 0; at < stride; at += hn::Lanes(d)) sum = SubtractPLnP(d, hn::LoadU(d, p + at), sum);
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace

template <typename T>
BeliefKernels<T> Table() {
  return {hwy::TargetName(HWY_TARGET), Filter<T>, FilterOwn<T>, Predict<T>, Efe<T>, EfeOwn<T>, Surprise<T>, Softmax<T>,
          TotalVariation<T>,           Entropy<T>};
}

BeliefKernels<float> TableF32() { return Table<float>(); }
BeliefKernels<double> TableF64() { return Table<double>(); }

}  // namespace skep::kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skep::kernel {

HWY_EXPORT(TableF32);
HWY_EXPORT(TableF64);

template <>
const BeliefKernels<float>& belief_kernels<float>() {
  static const BeliefKernels<float> kernels = HWY_DYNAMIC_DISPATCH(TableF32)();
  return kernels;
}

template <>
const BeliefKernels<double>& belief_kernels<double>() {
  static const BeliefKernels<double> kernels = HWY_DYNAMIC_DISPATCH(TableF64)();
  return kernels;
}

}  // namespace skep::kernel
#endif
