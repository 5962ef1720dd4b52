// Compiled with AVX-512 F, BW, DQ, VL and VNNI.
#include "kernel/lm/attention_inl.h"
#include "kernel/lm/elementwise_inl.h"
#include "kernel/lm/gemm_inl.h"
#include "kernel/lm/isa_avx512_vnni.h"
#include "kernel/lm/targets.h"

namespace skep::kernel::lm {

const Kernels& avx512_vnni_kernels() {
  static constexpr Kernels kernels{"avx512_vnni", gemm<Avx512Vnni>, quantize_avx2,        rms_norm, rope, swiglu,
                                   store_key,     store_value,      attention<Avx512Vnni>};
  return kernels;
}

}  // namespace skep::kernel::lm
