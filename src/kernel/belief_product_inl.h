// Matrix times belief for several agents at a time, in registers.
//
// Register blocking. A block of NA agents that share a transition keeps NA × NV accumulators in registers (NV vectors
// make up a row); per state s it loads NV vectors of column s once and broadcasts NA entries q[s]: NV + NA loads for
// NV · NA multiply-adds. Eight accumulators hide the latency of two multiply-adds per cycle, and loads must stay below
// two per cycle; with 16 registers 3 × 4, 4 × 3, 4 × 2 and 8 × 1 do both. Rows of more than four vectors go through in
// column blocks.
//
// Included once per target from belief_kernels.cc, hence the guard that toggles.

#if defined(SKEP_KERNEL_BELIEF_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SKEP_KERNEL_BELIEF_PRODUCT_INL_H
#undef SKEP_KERNEL_BELIEF_PRODUCT_INL_H
#else
#define SKEP_KERNEL_BELIEF_PRODUCT_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <type_traits>

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

constexpr size_t kWideAgents = 3;  // beside a whole column block

// A vector of a model's entries: as they lie there, aligned, or from bfloat16, which is the upper half of a float.
template <class D, typename M>
HWY_INLINE hn::Vec<D> LoadModel(D d, const M* at) {
  if constexpr (std::is_same_v<M, hn::TFromD<D>>) {
    return hn::Load(d, at);
  } else {
    static_assert(std::is_same_v<M, uint16_t>);
    const hn::Rebind<uint16_t, D> half;
    const hn::RebindToUnsigned<D> bits;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(half, at))));
  }
}

template <size_t NV, size_t NA, class D>
HWY_INLINE void Clear(D d, hn::Vec<D> (&acc)[NA][NV]) {
#pragma GCC unroll 16
  for (size_t a = 0; a < NA; ++a) {
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v) acc[a][v] = hn::Zero(d);
  }
}

// acc[a][v] += Σ_s m[s · pitch + v] q[a][s].
template <size_t NV, size_t NA, class D, typename T>
HWY_INLINE void AddProduct(D d, const T* HWY_RESTRICT m, size_t pitch, size_t states, const T* const* q,
                           hn::Vec<D> (&acc)[NA][NV]) {
  const size_t lanes = hn::Lanes(d);
  // Unrolled, since the end of a loop this long is mispredicted, which costs as much as four of its turns.
#pragma GCC unroll 4
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

// acc[a][v] = Σ_s m[s · pitch + v] q[a][s].
template <size_t NV, size_t NA, class D, typename T>
HWY_INLINE void Product(D d, const T* HWY_RESTRICT m, size_t pitch, size_t states, const T* const* q,
                        hn::Vec<D> (&acc)[NA][NV]) {
  Clear(d, acc);
  AddProduct(d, m, pitch, states, q, acc);
}

// The states in which any of a few agents believes, as runs. Large spaces are mostly the joint of several factors, of
// which some are known: a guard that sees where it is believes in 25 of 625 states. Looking costs a hundredth of the
// product; only gaps that are worth a new loop end a run.
class Support {
 public:
  template <size_t NA, typename T>
  HWY_INLINE void find(const T* const (&q)[NA], size_t states) {
    runs_ = 0;
    for (size_t s = 0; s < states; ++s) {
      bool any = false;
      for (size_t a = 0; a < NA; ++a) any = any || q[a][s] != 0;
      if (!any) continue;
      if (runs_ == 0 || (s - end_[runs_ - 1] >= kGap && runs_ < kMostRuns)) begin_[runs_++] = s;
      end_[runs_ - 1] = s + 1;
    }
  }

  // Product() over these states.
  template <size_t NV, size_t NA, class D, typename T>
  HWY_INLINE void product(D d, const T* HWY_RESTRICT m, size_t pitch, const T* const (&q)[NA],
                          hn::Vec<D> (&acc)[NA][NV]) const {
    Clear(d, acc);
    for (size_t r = 0; r < runs_; ++r) {
      const T* from[NA];
      for (size_t a = 0; a < NA; ++a) from[a] = q[a] + begin_[r];
      AddProduct(d, m + begin_[r] * pitch, pitch, end_[r] - begin_[r], from, acc);
    }
  }

 private:
  static constexpr size_t kMostRuns = 32, kGap = 8;
  size_t runs_ = 0;
  size_t begin_[kMostRuns], end_[kMostRuns];
};

// One agent: two states at a time, for twice as many independent chains of additions.
template <size_t NV, class D, typename M, typename T>
HWY_INLINE void ProductOne(D d, const M* HWY_RESTRICT m, size_t pitch, size_t states, const T* HWY_RESTRICT q,
                           const M* HWY_RESTRICT ahead, hn::Vec<D> (&acc)[1][NV]) {
  const size_t lanes = hn::Lanes(d);
  hn::Vec<D> odd[NV];
#pragma GCC unroll 16
  for (size_t v = 0; v < NV; ++v) acc[0][v] = odd[v] = hn::Zero(d);
  size_t s = 0;
  for (; s + 2 <= states; s += 2, m += 2 * pitch) {
    if (ahead != nullptr) {
      for (size_t line = 0; line < 2 * pitch * sizeof(M); line += 64) {
        hwy::Prefetch(reinterpret_cast<const char*>(ahead + s * pitch) + line);
      }
    }
    const auto even_weight = hn::Set(d, q[s]);
    const auto odd_weight = hn::Set(d, q[s + 1]);
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v) {
      acc[0][v] = hn::MulAdd(LoadModel(d, m + v * lanes), even_weight, acc[0][v]);
      odd[v] = hn::MulAdd(LoadModel(d, m + pitch + v * lanes), odd_weight, odd[v]);
    }
  }
  if (s < states) {
    const auto weight = hn::Set(d, q[s]);
#pragma GCC unroll 16
    for (size_t v = 0; v < NV; ++v) acc[0][v] = hn::MulAdd(LoadModel(d, m + v * lanes), weight, acc[0][v]);
  }
#pragma GCC unroll 16
  for (size_t v = 0; v < NV; ++v) acc[0][v] = hn::Add(acc[0][v], odd[v]);
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

// One own transition times one belief, into `out`; prefetches `ahead`, laid out alike, on the way.
template <class D, typename M, typename T>
HWY_INLINE void PredictRow(D d, const M* transition, size_t states, size_t stride, const T* q, const M* ahead, T* out) {
  const size_t lanes = hn::Lanes(d);
  ForColumnBlocks(stride / lanes, lanes, [&](auto width, size_t at) HWY_ATTR {
    constexpr size_t NV = decltype(width)::value;
    hn::Vec<D> acc[1][NV];
    ProductOne<NV>(d, transition + at, stride, states, q, at == 0 ? ahead : nullptr, acc);
    for (size_t v = 0; v < NV; ++v) hn::Store(acc[0][v], d, out + at + v * lanes);
  });
}

}  // namespace
}  // namespace skep::kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
