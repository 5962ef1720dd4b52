// This file is compiled once per target. Bytes are widened to 16 bits and multiplied in pairs into 32 (vpmaddwd on
// x86-64, smlal on ARM): exact, unlike the byte multiply of AVX2, whose pairs saturate.

#include "kernel/vector_kernels.h"

#include <cassert>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/vector_kernels.cc"
// foreach_target.h must come before what it compiles once per target.
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on
#include "kernel/every_target.h"

HWY_BEFORE_NAMESPACE();
namespace skep::kernel::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

int32_t Dot(const int8_t* HWY_RESTRICT a, const int8_t* HWY_RESTRICT b, size_t n) {
  assert(n % kVectorStep == 0 && n <= kLongestVector);
  const hn::CappedTag<int16_t, kVectorStep> d16;
  const hn::Rebind<int8_t, decltype(d16)> d8;
  const hn::RepartitionToWide<decltype(d16)> d32;
  const size_t lanes = hn::Lanes(d16);
  auto low = hn::Zero(d32);
  auto high = hn::Zero(d32);
  for (size_t i = 0; i < n; i += lanes) {
    const auto x = hn::PromoteTo(d16, hn::LoadU(d8, a + i));
    const auto y = hn::PromoteTo(d16, hn::LoadU(d8, b + i));
    low = hn::ReorderWidenMulAccumulate(d32, x, y, low, high);
  }
  return hn::GetLane(hn::SumOfLanes(d32, hn::Add(low, high)));
}

}  // namespace

VectorKernels Table() { return {hwy::TargetName(HWY_TARGET), Dot}; }

}  // namespace skep::kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skep::kernel {

HWY_EXPORT(Table);

const VectorKernels& vector_kernels() {
  static const VectorKernels kernels = HWY_DYNAMIC_DISPATCH(Table)();
  return kernels;
}

std::vector<VectorKernels> every_vector_kernels() {
  std::vector<VectorKernels> every;
  with_every_target([&every] { every.push_back(HWY_DYNAMIC_DISPATCH(Table)()); });
  return every;
}

int32_t dot_int8_scalar(const int8_t* a, const int8_t* b, size_t n) {
  int32_t sum = 0;
  for (size_t i = 0; i < n; ++i) sum += int32_t{a[i]} * int32_t{b[i]};
  return sum;
}

}  // namespace skep::kernel
#endif
