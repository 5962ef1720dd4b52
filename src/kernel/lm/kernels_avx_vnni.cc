// Compiled with -mavx2 -mfma -mf16c -mavxvnni.
#include "kernel/lm/attention_inl.h"
#include "kernel/lm/elementwise_inl.h"
#include "kernel/lm/gemm_inl.h"
#include "kernel/lm/isa_avx_vnni.h"
#include "kernel/lm/targets.h"

namespace skep::kernel::lm {

const Kernels& avx_vnni_kernels() {
  static constexpr Kernels kernels{"avx_vnni", gemm<AvxVnni>, quantize_avx2, rms_norm,          rope,
                                   swiglu,     store_key,     store_value,   attention<AvxVnni>};
  return kernels;
}

}  // namespace skep::kernel::lm
