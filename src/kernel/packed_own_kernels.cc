// The kernels of packed own models in Highway: this file is compiled once per target.

#include "kernel/packed_own_kernels.h"

#include <algorithm>
#include <cassert>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/packed_own_kernels.cc"
// foreach_target.h must come before what it compiles once per target.
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernel/belief_kernels.h"
#include "kernel/belief_math_inl.h"
#include "kernel/belief_product_inl.h"
// clang-format on
#include "kernel/every_target.h"

HWY_BEFORE_NAMESPACE();
namespace skep::kernel::HWY_NAMESPACE {
namespace {

// A vector of floats from bfloat16: their upper halves.
template <class D>
HWY_INLINE hn::Vec<D> Unpack(D d, const uint16_t* at) {
  const hn::Rebind<uint16_t, D> half;
  const hn::RebindToUnsigned<D> bits;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(half, at))));
}

HWY_INLINE void PrefetchPacked(const uint16_t* at, size_t entries) {
  for (size_t i = 0; i < entries; i += 32) hwy::Prefetch(at + i);
}

// ProductOne() of a packed matrix: acc[v] = Σ_s m[s · pitch + v] q[s], two states at a time.
template <size_t NV, class D>
HWY_INLINE void PackedProduct(D d, const uint16_t* HWY_RESTRICT m, size_t pitch, size_t states,
                              const float* HWY_RESTRICT q, const uint16_t* ahead, hn::Vec<D> (&acc)[NV]) {
  const size_t lanes = hn::Lanes(d);
  hn::Vec<D> odd[NV];
#pragma GCC unroll 16
  for (size_t v = 0; v < NV; ++v) acc[v] = odd[v] = hn::Zero(d);
  size_t s = 0;
  for (; s + 2 <= states; s += 2, m += 2 * pitch) {
    if (ahead != nullptr) PrefetchPacked(ahead + s * pitch, 2 * pitch);
    const auto even_weight = hn::Set(d, q[s]);
    const auto odd_weight = hn::Set(d, q[s + 1]);
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v) {
      acc[v] = hn::MulAdd(Unpack(d, m + v * lanes), even_weight, acc[v]);
      odd[v] = hn::MulAdd(Unpack(d, m + pitch + v * lanes), odd_weight, odd[v]);
    }
  }
  if (s < states) {
    const auto weight = hn::Set(d, q[s]);
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v) acc[v] = hn::MulAdd(Unpack(d, m + v * lanes), weight, acc[v]);
  }
#pragma GCC unroll 16
  for (size_t v = 0; v < NV; ++v) acc[v] = hn::Add(acc[v], odd[v]);
}

template <class D>
HWY_INLINE void PredictPacked(D d, const uint16_t* transition, size_t states, size_t stride, const float* q,
                              const uint16_t* ahead, float* out) {
  const size_t lanes = hn::Lanes(d);
  ForColumnBlocks(stride / lanes, lanes, [&](auto width, size_t at) HWY_ATTR {
    constexpr size_t NV = decltype(width)::value;
    hn::Vec<D> acc[NV];
    PackedProduct<NV>(d, transition + at, stride, states, q, at == 0 ? ahead : nullptr, acc);
    for (size_t v = 0; v < NV; ++v) hn::Store(acc[v], d, out + at + v * lanes);
  });
}

// Writes the posterior of a prediction, and returns the evidence. An impossible observation leaves the prediction.
template <class D>
HWY_INLINE float CorrectPacked(D d, size_t stride, const float* prior, const uint16_t* const* likelihood,
                               size_t modalities, float* scratch, float* target) {
  const size_t lanes = hn::Lanes(d);
  auto sum = hn::Zero(d);
  for (size_t at = 0; at < stride; at += lanes) {
    auto p = hn::Load(d, prior + at);
    for (size_t m = 0; m < modalities; ++m) {
      if (likelihood[m] != nullptr) p = hn::Mul(p, Unpack(d, likelihood[m] + at));
    }
    sum = hn::Add(sum, p);
    hn::Store(p, d, scratch + at);
  }
  float z = hn::GetLane(hn::SumOfLanes(d, sum));
  const bool impossible = !(z >= static_cast<float>(kImpossible));
  const float* from = impossible ? prior : scratch;
  float total = z;
  if (impossible) {
    total = 0;
    for (size_t s = 0; s < stride; ++s) total += prior[s];
    z = static_cast<float>(kImpossible);
  }
  const auto scale = hn::Set(d, 1 / total);
  for (size_t at = 0; at < stride; at += lanes) hn::Store(hn::Mul(hn::Load(d, from + at), scale), d, target + at);
  return z;
}

void FilterPacked(const PackedFilterArgs& a) {
  const size_t stride = belief_stride<float>(a.states);
  WithTag<float>(a.states, [&](auto d) HWY_ATTR {
    float* prior = a.scratch;
    for (size_t i = 0; i < a.n; ++i) {
      const size_t next = i + a.ahead;
      const bool prefetch = a.ahead > 0 && next < a.n;
      for (size_t m = 0; prefetch && m < a.modalities; ++m) {
        if (const uint16_t* row = a.likelihood[next * a.modalities + m]; row != nullptr) PrefetchPacked(row, stride);
      }
      const float* source = a.source[i];
      if (a.transition[i] != nullptr) {
        PredictPacked(d, a.transition[i], a.states, stride, source, prefetch ? a.transition[next] : nullptr, prior);
        source = prior;
      }
      a.evidence[i] =
          CorrectPacked(d, stride, source, a.likelihood + i * a.modalities, a.modalities, prior + stride, a.target[i]);
    }
  });
}

void EfePacked(const PackedEfeArgs& a) {
  assert(a.actions <= kMostOwnActions);
  const size_t stride = belief_stride<float>(a.states);
  const size_t pitch = belief_stride<float>(a.outcomes);
  const auto* ahead = static_cast<const char*>(a.prefetch);
  size_t ahead_at = 0;
  // What comes next is asked for in equal shares along the way.
  const size_t shares = a.actions + a.outcomes;
  const auto prefetch = [&](size_t done) HWY_ATTR {
    const size_t until = a.prefetch_bytes * done / shares;
    for (; ahead != nullptr && ahead_at < until; ahead_at += 64) hwy::Prefetch(ahead + ahead_at);
  };
  WithTag<float>(a.states, [&](auto d) HWY_ATTR {
    const size_t lanes = hn::Lanes(d);
    for (size_t u = 0; u < a.actions; ++u) {
      float* next = a.predicted + u * stride;
      PredictPacked(d, a.transitions + u * a.states * stride, a.states, stride, a.belief, nullptr, next);
      auto value = hn::Zero(d);
      for (size_t at = 0; at < stride; at += lanes)
        value = hn::MulAdd(hn::Load(d, a.linear + at), hn::Load(d, next + at), value);
      a.value[u] = hn::GetLane(hn::SumOfLanes(d, value));
      prefetch(u + 1);
    }
    if (!a.entropy) return;
    for (size_t u = 0; u < a.actions; ++u)
      std::fill(a.scratch + u * pitch + a.outcomes, a.scratch + (u + 1) * pitch, 0.0F);
    for (size_t o = 0; o < a.outcomes; ++o) {
      const uint16_t* row = a.likelihood + o * stride;
      for (size_t u = 0; u < a.actions; ++u) {
        auto p = hn::Zero(d);
        for (size_t at = 0; at < stride; at += lanes)
          p = hn::MulAdd(Unpack(d, row + at), hn::Load(d, a.predicted + u * stride + at), p);
        a.scratch[u * pitch + o] = hn::GetLane(hn::SumOfLanes(d, p));
      }
      prefetch(a.actions + o + 1);
    }
  });
  if (!a.entropy) return;
  WithTag<float>(a.outcomes, [&](auto d) HWY_ATTR {
    for (size_t u = 0; u < a.actions; ++u) {
      auto sum = hn::Zero(d);
      for (size_t at = 0; at < pitch; at += hn::Lanes(d))
        sum = SubtractPLnP(d, hn::Load(d, a.scratch + u * pitch + at), sum);
      a.value[u] += hn::GetLane(hn::SumOfLanes(d, sum));
    }
  });
}

}  // namespace

PackedOwnKernels PackedTable() { return {hwy::TargetName(HWY_TARGET), FilterPacked, EfePacked}; }

}  // namespace skep::kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skep::kernel {

HWY_EXPORT(PackedTable);

const PackedOwnKernels& packed_own_kernels() {
  static const PackedOwnKernels kernels = HWY_DYNAMIC_DISPATCH(PackedTable)();
  return kernels;
}

std::vector<PackedOwnKernels> every_packed_own_kernels() {
  std::vector<PackedOwnKernels> every;
  with_every_target([&every] { every.push_back(HWY_DYNAMIC_DISPATCH(PackedTable)()); });
  return every;
}

}  // namespace skep::kernel
#endif
