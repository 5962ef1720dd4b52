// The kernels of own models (belief_filter_inl.h, belief_efe_inl.h) over bfloat16: compiled once per target.

#include "kernel/packed_own_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/packed_own_kernels.cc"
// foreach_target.h must come before what it compiles once per target.
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernel/belief_efe_inl.h"
#include "kernel/belief_filter_inl.h"
// clang-format on
#include "kernel/every_target.h"

HWY_BEFORE_NAMESPACE();
namespace skep::kernel::HWY_NAMESPACE {

PackedOwnKernels PackedTable() {
  return {hwy::TargetName(HWY_TARGET), FilterOwn<float, uint16_t>, EfeOwn<float, uint16_t>};
}

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
