// The kernels of packed own models as their definitions read: the reference. Unpacked, they are the reference of the
// unpacked ones.

#include <algorithm>
#include <cmath>

#include "kernel/belief_kernels.h"
#include "kernel/bfloat16.h"
#include "kernel/packed_own_kernels.h"

namespace skep::kernel {
namespace {

std::vector<float> unpack(const uint16_t* packed, size_t n) {
  std::vector<float> out(n);
  std::transform(packed, packed + n, out.begin(), from_bfloat16);
  return out;
}

void filter(const PackedFilterArgs& a) {
  const size_t stride = belief_stride<float>(a.states);
  for (size_t i = 0; i < a.n; ++i) {
    std::vector<float> transition;
    if (a.transition[i] != nullptr) transition = unpack(a.transition[i], a.states * stride);
    std::vector<std::vector<float>> rows(a.modalities);
    std::vector<const float*> likelihood(a.modalities);
    for (size_t m = 0; m < a.modalities; ++m) {
      const uint16_t* row = a.likelihood[i * a.modalities + m];
      if (row != nullptr) rows[m] = unpack(row, stride);
      likelihood[m] = row != nullptr ? rows[m].data() : nullptr;
    }
    const float* matrix = a.transition[i] != nullptr ? transition.data() : nullptr;
    belief_kernels_scalar<float>().filter_own({a.states, 1, &matrix, a.source + i, a.target + i, a.modalities,
                                               likelihood.data(), a.evidence + i, a.scratch, 0});
  }
}

void efe(const PackedEfeArgs& a) {
  const size_t stride = belief_stride<float>(a.states);
  const std::vector<float> transitions = unpack(a.transitions, a.actions * a.states * stride);
  const std::vector<float> likelihood = unpack(a.likelihood, a.outcomes * stride);
  belief_kernels_scalar<float>().efe_own({a.states, a.outcomes, a.actions, transitions.data(), likelihood.data(),
                                          a.linear, a.entropy, a.belief, a.predicted, a.value, a.scratch, nullptr, 0});
}

}  // namespace

const PackedOwnKernels& packed_own_kernels_scalar() {
  static constexpr PackedOwnKernels kernels{"scalar", filter, efe};
  return kernels;
}

double packed_model_error(uint64_t steps, int modalities) {
  const double distance = 2 * std::atanh(kBfloat16Error) * static_cast<double>(steps) * (1 + modalities);
  return 2 * std::tanh(distance / 4);
}

}  // namespace skep::kernel
