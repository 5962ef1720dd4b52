// Expected free energy: of a folded shared model for many agents, of an own model for one.
//
// Included once per target from belief_kernels.cc, hence the guard that toggles.

#if defined(SKEP_KERNEL_BELIEF_EFE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SKEP_KERNEL_BELIEF_EFE_INL_H
#undef SKEP_KERNEL_BELIEF_EFE_INL_H
#else
#define SKEP_KERNEL_BELIEF_EFE_INL_H
#endif

#include <algorithm>
#include <cassert>

#include "kernel/belief_kernels.h"
#include "kernel/belief_math_inl.h"
#include "kernel/belief_product_inl.h"

HWY_BEFORE_NAMESPACE();
namespace skep::kernel::HWY_NAMESPACE {
namespace {

// total[i] += H(acc[i]), a part of a predicted observation.
template <size_t NV, size_t NA, class D>
HWY_INLINE void AddEntropy(D d, const hn::Vec<D> (&acc)[NA][NV], hn::Vec<D> (&total)[NA]) {
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
    if (a.entropy) {
      hn::Vec<D> acc[NA][NV];
      Product<NV, NA>(d, a.predictive, NV * hn::Lanes(d), a.states, q, acc);
      AddEntropy(d, acc, total);
    }
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
      Support support;
      support.find(q, a.states);
      ForColumnBlocks(pitch / lanes, lanes, [&](auto width, size_t at) HWY_ATTR {
        hn::Vec<D> acc[NA][decltype(width)::value];
        support.product(d, a.predictive + at, pitch, q, acc);
        AddEntropy(d, acc, total);
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

template <typename T, typename M>
void EfeOwn(const OwnEfeArgs<T, M>& a) {
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
      PredictRow(d, a.transitions + u * a.states * stride, a.states, stride, a.belief, static_cast<const M*>(nullptr),
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
      const M* row = a.likelihood + o * stride;
      for (size_t u = 0; u < a.actions; ++u) {
        auto p = hn::Zero(d);
        for (size_t at = 0; at < stride; at += lanes) {
          p = hn::MulAdd(LoadModel(d, row + at), hn::Load(d, a.predicted + u * stride + at), p);
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

}  // namespace
}  // namespace skep::kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
