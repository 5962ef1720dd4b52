// Predict, correct, normalise for a run of agents that follow each other in memory, whatever each of them did.
//
// Agents share no loads here: NV · NA multiply-adds take as many loads of columns, with which two load ports just keep
// up, so the entries of q must not be loaded one by one as well. Sixteen bytes of q are loaded into every block of a
// vector, and its entries are broadcast from there, on a port that multiply-adds leave free. What this saves is
// everything around it: ordering agents by action, pointers to their rows, and putting results back in order.
// Sums run over states in the order of Product(), so results are the same to the bit.
//
// Included once per target from belief_kernels.cc, hence the guard that toggles.

#if defined(SKEP_KERNEL_BELIEF_FILTER_RUN_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SKEP_KERNEL_BELIEF_FILTER_RUN_INL_H
#undef SKEP_KERNEL_BELIEF_FILTER_RUN_INL_H
#else
#define SKEP_KERNEL_BELIEF_FILTER_RUN_INL_H
#endif

#include <algorithm>

#include "kernel/belief_filter_inl.h"
#include "kernel/belief_kernels.h"
#include "kernel/belief_product_inl.h"

HWY_BEFORE_NAMESPACE();
namespace skep::kernel::HWY_NAMESPACE {
namespace {

// Agents at a time for a row of NV vectors: two multiply-adds per cycle with a latency of four take eight chains of
// them, and NA · NV + NA + 1 registers.
template <size_t NV>
constexpr size_t kRunAgents = NV == 1   ? 6
                              : NV == 2 ? 4
                                        : 3;

// Entries of q in a block of 16 bytes; the scalar target has no blocks.
template <typename T>
constexpr size_t kBlockEntries = HWY_TARGET == HWY_SCALAR ? 1 : 16 / sizeof(T);

// sum += columns[J …] · q[J …] for one block of q.
template <size_t J, size_t NV, class D, typename T>
HWY_INLINE void AddColumns(D d, const T* HWY_RESTRICT columns, size_t pitch, hn::Vec<D> q, hn::Vec<D> (&sum)[NV]) {
  if constexpr (J < kBlockEntries<T>) {
    const auto weight = hn::Broadcast<J>(q);
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v)
      sum[v] = hn::MulAdd(hn::Load(d, columns + J * pitch + v * hn::Lanes(d)), weight, sum[v]);
    AddColumns<J + 1>(d, columns, pitch, q, sum);
  }
}

// NA agents from `first`, of which `count` exist: a tail repeats its last one and drops what that gives. kFull: rows
// have no padding, which makes the number of turns a constant.
template <size_t NV, size_t NA, bool kFull, class D, typename T>
HWY_INLINE void RunBlock(D d, const FilterRunArgs<T>& a, size_t first, size_t count) {
  constexpr size_t kEntries = kBlockEntries<T>;
  const size_t lanes = hn::Lanes(d), pitch = NV * lanes;
  const size_t states = kFull ? pitch : a.states;
  const T* m[NA];
  const T* q[NA];
  hn::Vec<D> acc[NA][NV];
  Clear(d, acc);
#pragma GCC unroll 16
  for (size_t i = 0; i < NA; ++i) {
    const size_t agent = first + (i < count ? i : count - 1);
    m[i] = a.transitions + a.action[agent] * states * pitch;
    q[i] = a.beliefs + agent * pitch;
  }
  size_t s = 0;
#pragma GCC unroll 16
  for (; s + kEntries <= states; s += kEntries) {
#pragma GCC unroll 16
    for (size_t i = 0; i < NA; ++i) AddColumns<0>(d, m[i] + s * pitch, pitch, hn::LoadDup128(d, q[i] + s), acc[i]);
  }
  for (; !kFull && s < states; ++s) {
#pragma GCC unroll 16
    for (size_t i = 0; i < NA; ++i) {
      const auto weight = hn::Set(d, q[i][s]);
#pragma GCC unroll 16
      for (size_t v = 0; v < NV; ++v)
        acc[i][v] = hn::MulAdd(hn::Load(d, m[i] + s * pitch + v * lanes), weight, acc[i][v]);
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < NA; ++i) {
    if (i >= count) break;
    const uint16_t outcome = a.outcome[first + i];
    if (HWY_LIKELY(outcome != kNoOutcome)) Weigh(d, a.likelihood + outcome * pitch, acc[i]);
    Normalise(d, acc[i], m[i], states, q[i], a.scratch, a.beliefs + (first + i) * pitch, a.evidence + first + i);
  }
}

template <size_t NV, bool kFull, class D, typename T>
HWY_INLINE void RunBlocks(D d, const FilterRunArgs<T>& a) {
  constexpr size_t NA = kRunAgents<NV>;
  size_t first = 0;
  for (; first + NA <= a.n; first += NA) RunBlock<NV, NA, kFull>(d, a, first, NA);
  if (first < a.n) RunBlock<NV, NA, kFull>(d, a, first, a.n - first);
}

template <size_t NV, class D, typename T>
void RunNarrow(D d, const FilterRunArgs<T>& a) {
  if (a.states == NV * hn::Lanes(d)) {
    RunBlocks<NV, true>(d, a);
  } else {
    RunBlocks<NV, false>(d, a);
  }
}

template <typename T>
void FilterRun(const FilterRunArgs<T>& a) {
  WithTag<T>(a.states, [&](auto d) HWY_ATTR {
    switch (belief_stride<T>(a.states) / hn::Lanes(d)) {
      case 1:
        return RunNarrow<1>(d, a);
      case 2:
        return RunNarrow<2>(d, a);
      case 3:
        return RunNarrow<3>(d, a);
      case 4:
        return RunNarrow<4>(d, a);
      default:
        HWY_DASSERT(false);  // rows are longer than longest_run_row
    }
  });
}

}  // namespace
}  // namespace skep::kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
