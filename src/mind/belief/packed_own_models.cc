// Own models that lie in bfloat16: how they are packed, and how their agents step (kernel/packed_own_kernels.h).

#include <algorithm>
#include <type_traits>

#include "kernel/bfloat16.h"
#include "kernel/packed_own_kernels.h"
#include "mind/belief/vector_population.h"

namespace skep::belief {
namespace {

// Agents whose models are asked for ahead of use.
constexpr size_t kAhead = 2;

}  // namespace

template <typename T>
void VectorPopulation<T>::pack_model(const T* likelihood, const T* linear, const T* transitions, T* block) const {
  const auto pack = [](const T* from, size_t n, T* to) {
    std::transform(from, from + n, reinterpret_cast<uint16_t*>(to),
                   [](T x) { return kernel::to_bfloat16(static_cast<float>(x)); });
  };
  pack(likelihood, tables_.likelihood.size(), block + layout_.likelihood);
  pack(transitions, tables_.transitions.size(), block + layout_.transitions);
  if (linear != block + layout_.linear) std::copy_n(linear, tables_.linear.size(), block + layout_.linear);
}

template <typename T>
void VectorPopulation<T>::unpack_model(const T* block, Scratch& s) const {
  const auto unpack = [](const T* from, AlignedArray<T>& to) {
    const auto* packed = reinterpret_cast<const uint16_t*>(from);
    std::transform(packed, packed + to.size(), to.data(),
                   [](uint16_t x) { return static_cast<T>(kernel::from_bfloat16(x)); });
  };
  unpack(block + layout_.likelihood, s.unpacked_likelihood);
  unpack(block + layout_.transitions, s.unpacked_transitions);
}

template <typename T>
void VectorPopulation<T>::point_packed_own(const Batch& batch, Scratch& s) const {
  s.order = batch.slots;
  for (uint32_t i = 0; i < batch.n; ++i) {
    const uint32_t slot = batch.slots[i];
    const auto* likelihood = reinterpret_cast<const uint16_t*>(own(slot) + layout_.likelihood);
    const auto* transitions = reinterpret_cast<const uint16_t*>(own(slot) + layout_.transitions);
    s.source[i] = typed_row(current_row(slot));
    s.target[i] = reinterpret_cast<T*>(row(slot, target_side(slot)));
    s.packed_transition[i] = fresh(slot) ? nullptr : transitions + actions_[slot] * tables_.states * tables_.stride;
    const uint16_t* o = batch.observation(i);
    for (uint32_t m = 0; m < batch.modalities; ++m) {
      s.packed_likelihood[i * batch.modalities + m] =
          o[m] == kNotObserved ? nullptr : likelihood + (tables_.first_outcome[m] + o[m]) * tables_.stride;
    }
  }
}

// With planning, filter and plan of one agent go back to back: its model is read from memory once.
template <typename T>
void VectorPopulation<T>::filter_packed_own(const Batch& batch, Scratch& s) {
  if constexpr (std::is_same_v<T, float>) {
    point_packed_own(batch, s);
    const kernel::PackedOwnKernels& kernels = kernel::packed_own_kernels();
    const auto filter = [&](uint32_t first, uint32_t n, size_t ahead) {
      kernels.filter({tables_.states, n, s.packed_transition.data() + first, s.source.data() + first,
                      s.target.data() + first, batch.modalities, s.packed_likelihood.data() + first * batch.modalities,
                      s.evidence.data() + first, s.rows.data(), ahead});
    };
    if (!options_.plan) return filter(0, batch.n, kAhead);
    for (uint32_t i = 0; i < batch.n; ++i) {
      filter(i, 1, 0);
      const void* next = i + 1 < batch.n ? own(s.order[i + 1]) : nullptr;
      plan_own_node(s, own(s.order[i]), s.target[i], 0, 0, i, T(0), next);
    }
  }
}

template <typename T>
void VectorPopulation<T>::efe_packed_own(Scratch& s, const T* block, const T* belief, size_t level,
                                         const void* prefetch) const {
  if constexpr (std::is_same_v<T, float>) {
    kernel::PackedEfeArgs args;
    args.states = tables_.states;
    args.outcomes = tables_.outcomes;
    args.actions = tables_.actions;
    args.transitions = reinterpret_cast<const uint16_t*>(block + layout_.transitions);
    args.likelihood = reinterpret_cast<const uint16_t*>(block + layout_.likelihood);
    args.linear = block + layout_.linear + std::min(level, tables_.preference_steps - 1) * tables_.stride;
    args.entropy = tables_.entropy;
    args.belief = belief;
    args.predicted = s.own_predicted.data() + level * tables_.actions * tables_.stride;
    args.value = s.own_values.data() + level * tables_.actions;
    args.scratch = s.own_scratch.data();
    args.prefetch = prefetch;
    args.prefetch_bytes = layout_.model * sizeof(T);
    kernel::packed_own_kernels().efe(args);
  }
}

template void VectorPopulation<float>::pack_model(const float*, const float*, const float*, float*) const;
template void VectorPopulation<double>::pack_model(const double*, const double*, const double*, double*) const;
template void VectorPopulation<float>::unpack_model(const float*, Scratch&) const;
template void VectorPopulation<double>::unpack_model(const double*, Scratch&) const;
template void VectorPopulation<float>::filter_packed_own(const Batch&, Scratch&);
template void VectorPopulation<double>::filter_packed_own(const Batch&, Scratch&);
template void VectorPopulation<float>::efe_packed_own(Scratch&, const float*, const float*, size_t, const void*) const;
template void VectorPopulation<double>::efe_packed_own(Scratch&, const double*, const double*, size_t,
                                                       const void*) const;

}  // namespace skep::belief
