#pragma once
// The inner loops of agents that have their own A and B (belief_kernels.h), where those lie in bfloat16. Such a step is
// bound by what it reads of the model; beliefs, sums and results stay f32. One Highway source, compiled for every
// target and chosen at run time; packed_own_kernels_scalar() is the reference that the differential tests hold it to.
//
// Error. Rounding changes an entry of A or B by a factor in [1 - u, 1 + u], u = 2^-8, and leaves zeros. In Hilbert's
// metric, d(p, q) = ln max p/q - ln min p/q, that is at most 2 atanh(u) per matrix; a transition brings two beliefs no
// further apart, and a likelihood, since it weighs both alike, leaves d as it is. So after t steps with m observed
// modalities each, a belief is within d <= 2 t (1 + m) atanh(u) of the one that unpacked models lead to, and in L1
// within 2 tanh(d / 4). packed_model_error() is that.
//
// Packed rows have belief_stride<float>() entries, each a uint16_t, those beyond the states 0; else rows and pointers
// are as there. Packed rows need no alignment. No function allocates.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernel/belief_kernels.h"

namespace skep::kernel {

using PackedFilterArgs = FilterOwnArgs<float, uint16_t>;
using PackedEfeArgs = OwnEfeArgs<float, uint16_t>;

struct PackedOwnKernels {
  const char* target;  // "AVX2", "scalar" …
  void (*filter)(const PackedFilterArgs&);
  void (*efe)(const PackedEfeArgs&);
};

const PackedOwnKernels& packed_own_kernels();
const PackedOwnKernels& packed_own_kernels_scalar();
// Those of every target, for the differential tests (every_belief_kernels()).
std::vector<PackedOwnKernels> every_packed_own_kernels();

// The bound in L1 after so many steps with so many modalities: at most 2.
double packed_model_error(uint64_t steps, int modalities);

}  // namespace skep::kernel
