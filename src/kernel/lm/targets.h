#pragma once
// The tables that kernels.cc chooses from; each is defined where the build can compile it.

#include "kernel/lm/kernels.h"

namespace skep::kernel::lm {

const Kernels& avx2_kernels();
const Kernels& avx_vnni_kernels();
const Kernels& avx512_vnni_kernels();
const Kernels& neon_dotprod_kernels();
const Kernels& neon_i8mm_kernels();

}  // namespace skep::kernel::lm
