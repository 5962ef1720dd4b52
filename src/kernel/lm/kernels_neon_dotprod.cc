// Compiled with -march=armv8.2-a+dotprod.
#include "kernel/lm/attention_inl.h"
#include "kernel/lm/elementwise_inl.h"
#include "kernel/lm/gemm_inl.h"
#include "kernel/lm/isa_neon_dotprod.h"
#include "kernel/lm/targets.h"

namespace skep::kernel::lm {

const Kernels& neon_dotprod_kernels() {
  static constexpr Kernels kernels{"neon_dotprod", gemm<NeonDotprod>,     quantize, rms_norm, rope, swiglu, store_key,
                                   store_value,    attention<NeonDotprod>};
  return kernels;
}

}  // namespace skep::kernel::lm
