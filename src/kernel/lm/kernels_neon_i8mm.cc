// Compiled with -march=armv8.2-a+dotprod+i8mm.
#include "kernel/lm/attention_inl.h"
#include "kernel/lm/elementwise_inl.h"
#include "kernel/lm/gemm_inl.h"
#include "kernel/lm/isa_neon_i8mm.h"
#include "kernel/lm/targets.h"

namespace skep::kernel::lm {

const Kernels& neon_i8mm_kernels() {
  static constexpr Kernels kernels{"neon_i8mm", gemm<NeonI8mm>, quantize,    rms_norm,           rope,
                                   swiglu,      store_key,      store_value, attention<NeonI8mm>};
  return kernels;
}

}  // namespace skep::kernel::lm
