// Compiled with -mavx2 -mfma -mf16c.
#include "kernel/lm/attention_inl.h"
#include "kernel/lm/elementwise_inl.h"
#include "kernel/lm/gemm_inl.h"
#include "kernel/lm/isa_avx2.h"
#include "kernel/lm/targets.h"

namespace skep::kernel::lm {

const Kernels& avx2_kernels() {
  static constexpr Kernels kernels{"avx2", gemm<Avx2>, quantize_avx2, rms_norm,       rope,
                                   swiglu, store_key,  store_value,   attention<Avx2>};
  return kernels;
}

}  // namespace skep::kernel::lm
