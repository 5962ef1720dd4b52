// How a chunk of agents that share a model goes through the filter kernels: as it lies in memory, or ordered by last
// action (vector_population.h).

#include <algorithm>
#include <cstring>

#include "mind/belief/vector_population.h"

namespace skep::belief {

// Where agent i of the batch goes: at start[group[i]]++. A counting sort by last action; agents that have not started,
// whose rows hold D, form the last group. Everything the loops read is in locals, here and below: their stores could
// alias members, which would be loaded again every time.
template <typename T>
void VectorPopulation<T>::count_by_action(const Batch& batch, Scratch& s) const {
  const uint32_t n = batch.n;
  const uint32_t* const slots = batch.slots;
  uint16_t* const group = s.group.data();
  uint32_t* const start = s.group_start.data();
  const size_t groups = s.group_start.size();
  const auto never_acted = static_cast<uint16_t>(tables_.actions);
  if (batch.contiguous) {
    const uint16_t* const actions = actions_.data() + slots[0];
    const uint8_t* const started = started_.data() + slots[0];
    for (uint32_t i = 0; i < n; ++i) group[i] = started[i] == 0 ? never_acted : actions[i];
  } else {
    const uint16_t* const actions = actions_.data();
    const uint8_t* const started = started_.data();
    for (uint32_t i = 0; i < n; ++i) group[i] = started[slots[i]] == 0 ? never_acted : actions[slots[i]];
  }
  std::fill_n(start, groups, 0);
  for (uint32_t i = 0; i < n; ++i) ++start[group[i] + 1];
  for (size_t g = 1; g < groups; ++g) start[g] += start[g - 1];
}

// Fills order, source, target and likelihood, and moves each group's start to its end. Rows are prefetched: the kernel
// will take them in an order that no hardware prefetcher foresees.
template <typename T>
void VectorPopulation<T>::order_by_action(const Batch& batch, Scratch& s) const {
  count_by_action(batch, s);
  const uint32_t n = batch.n;
  const uint32_t* const slots = batch.slots;
  const uint16_t* const group = s.group.data();
  uint32_t* const start = s.group_start.data();
  uint32_t* const order = s.sorted.data();
  T** const target = s.target.data();
  const T** const given = s.likelihood.data();
  const T* const likelihood = tables_.likelihood.data();
  const size_t stride = tables_.stride;
  const size_t prefetched = std::min<size_t>(row_bytes_, 256);
  const auto prefetch = [prefetched](const std::byte* row) {
    for (size_t line = 0; line < prefetched; line += 64) __builtin_prefetch(row + line, 1, 3);
  };
  if (sides_ == 1 && batch.modalities == 1 && !packed()) {  // the usual case: source is target
    T* const rows = reinterpret_cast<T*>(state_.beliefs());
    const uint16_t* const observations = batch.observations;
    const bool by_slot = batch.by_slot;
    for (uint32_t i = 0; i < n; ++i) {
      const uint32_t slot = slots[i];
      const uint32_t at = start[group[i]]++;
      const uint16_t o = observations[by_slot ? slot : i];
      T* const row = rows + slot * stride;
      prefetch(reinterpret_cast<const std::byte*>(row));
      order[at] = slot;
      target[at] = row;
      given[at] = o == kNotObserved ? nullptr : likelihood + o * stride;
    }
    return;
  }
  for (uint32_t i = 0; i < n; ++i) {
    prefetch(current_row(slots[i]));
    const uint32_t at = start[group[i]]++;
    order[at] = slots[i];
    point(batch, i, at, s);
  }
}

// Source, target and likelihoods of agent i of the batch, at a place.
template <typename T>
void VectorPopulation<T>::point(const Batch& batch, uint32_t i, uint32_t at, Scratch& s) const {
  const uint32_t slot = batch.slots[i];
  s.target[at] = reinterpret_cast<T*>(row(slot, target_side(slot)));
  s.source[at] = typed_row(current_row(slot));
  const uint16_t* o = batch.observation(i);
  for (uint32_t m = 0; m < batch.modalities; ++m) {
    s.likelihood[at * batch.modalities + m] =
        o[m] == kNotObserved ? nullptr : tables_.likelihood.data() + (tables_.first_outcome[m] + o[m]) * tables_.stride;
  }
}

template <typename T>
void VectorPopulation<T>::filter_shared(const Batch& batch, Scratch& s) const {
  if (batch.n == 1) {  // a population of one, or one with news: nothing to order
    point(batch, 0, 0, s);
    s.order = batch.slots;
    const uint32_t slot = batch.slots[0];
    const T* const transition = fresh(slot) ? nullptr : tables_.transition(actions_[slot]);
    kernels_.filter({tables_.states, transition, 1, s.source.data(), s.target.data(), batch.modalities,
                     s.likelihood.data(), s.evidence.data(), s.rows.data()});
  } else if (!filter_run(batch, s)) {
    filter_by_action(batch, s);
  }
}

static_assert(kNotObserved == kernel::kNoOutcome);

// False where the agents at hand don't allow it.
template <typename T>
bool VectorPopulation<T>::filter_run(const Batch& batch, Scratch& s) const {
  if (!runs_ || !batch.contiguous || !batch.by_slot) return false;
  const uint32_t first = batch.slots[0], n = batch.n;
  if (std::memchr(started_.data() + first, 0, n) != nullptr) return false;  // somebody's row is D, not a belief
  s.order = batch.slots;
  T* const rows = reinterpret_cast<T*>(state_.beliefs()) + first * tables_.stride;
  kernels_.filter_run({tables_.states, n, tables_.transitions.data(), actions_.data() + first,
                       tables_.likelihood.data(), batch.observations + first, rows, s.evidence.data(), s.rows.data()});
  for (uint32_t i = 0; i < n && options_.plan; ++i) s.target[i] = rows + i * tables_.stride;
  return true;
}

template <typename T>
void VectorPopulation<T>::filter_by_action(const Batch& batch, Scratch& s) const {
  order_by_action(batch, s);
  s.order = s.sorted.data();
  const bool one_side = sides_ == 1 && batch.modalities == 1 && !packed();
  kernel::FilterArgs<T> args;
  args.states = tables_.states;
  args.modalities = batch.modalities;
  args.scratch = s.rows.data();
  uint32_t first = 0;
  for (size_t g = 0; g <= tables_.actions; ++g) {
    const uint32_t end = s.group_start[g];
    if (end > first) {
      args.transition = g < tables_.actions ? tables_.transition(g) : nullptr;
      args.n = end - first;
      args.source = (one_side ? const_cast<const T**>(s.target.data()) : s.source.data()) + first;
      args.target = s.target.data() + first;
      args.likelihood = s.likelihood.data() + first * batch.modalities;
      args.evidence = s.evidence.data() + first;
      kernels_.filter(args);
    }
    first = end;
  }
}

template void VectorPopulation<float>::filter_shared(const Batch&, Scratch&) const;
template void VectorPopulation<double>::filter_shared(const Batch&, Scratch&) const;

}  // namespace skep::belief
