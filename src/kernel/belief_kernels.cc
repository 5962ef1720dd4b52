// The belief kernels in Highway: this file is compiled once per target. The loops are in the _inl.h siblings.

#include "kernel/belief_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/belief_kernels.cc"
// foreach_target.h must come before what it compiles once per target.
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernel/belief_efe_inl.h"
#include "kernel/belief_filter_inl.h"
#include "kernel/belief_filter_run_inl.h"
#include "kernel/belief_math_inl.h"
// clang-format on
#include "kernel/every_target.h"

HWY_BEFORE_NAMESPACE();
namespace skep::kernel::HWY_NAMESPACE {
namespace {

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
  const size_t longest_run_row = kColumnBlock * sizeof(T) * hn::Lanes(hn::CappedTag<T, 64 / sizeof(T)>());
  return {hwy::TargetName(HWY_TARGET),
          Filter<T>,
          FilterOwn<T, T>,
          FilterRun<T>,
          longest_run_row,
          Predict<T>,
          Efe<T>,
          EfeOwn<T, T>,
          Surprise<T>,
          Softmax<T>,
          TotalVariation<T>,
          Entropy<T>};
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

template <>
std::vector<BeliefKernels<float>> every_belief_kernels<float>() {
  std::vector<BeliefKernels<float>> every;
  with_every_target([&every] { every.push_back(HWY_DYNAMIC_DISPATCH(TableF32)()); });
  return every;
}

template <>
std::vector<BeliefKernels<double>> every_belief_kernels<double>() {
  std::vector<BeliefKernels<double>> every;
  with_every_target([&every] { every.push_back(HWY_DYNAMIC_DISPATCH(TableF64)()); });
  return every;
}

}  // namespace skep::kernel
#endif
