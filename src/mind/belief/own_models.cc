// Own models of a vector population: where they live, how they start, and how they learn.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>
#include <cstring>

#include "mind/belief/categorical.h"
#include "mind/belief/joint_model.h"
#include "mind/belief/vector_population.h"

namespace skep::belief {

// The counts that every agent starts with, laid out as in its block.
template <typename T>
void VectorPopulation<T>::copy_first_counts() {
  first_counts_ = AlignedArray<T>(layout_.entries);
  T* counts = first_counts_.data();
  if (factored_) {
    std::copy_n(factored_->first(), factored_->entries(), counts + layout_.likelihood_counts);
    return;
  }
  for (size_t m = 0; m < joint_.model.A.size(); ++m) {
    const std::vector<double>& from = joint_.model.pA[m].data;
    for (size_t i = 0; i < from.size(); ++i) {
      counts[layout_.likelihood_counts + (tables_.first_outcome[m] + i / tables_.states) * tables_.stride +
             i % tables_.states] = static_cast<T>(from[i]);
    }
  }
  // [next][s][action] to columns.
  const std::vector<double>& from = joint_.model.pB[0].data;
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t action = i % tables_.actions;
    const size_t s = i / tables_.actions % tables_.states;
    const size_t next = i / tables_.actions / tables_.states;
    counts[layout_.transition_counts + (action * tables_.states + s) * tables_.stride + next] = static_cast<T>(from[i]);
  }
}

template <typename T>
void VectorPopulation<T>::own_from_shared(T* block) const {
  if (options_.own_habits) std::copy(tables_.ln_prior.begin(), tables_.ln_prior.end(), block + layout_.habits);
  if (!options_.own_models) return;
  if (packed_models()) {
    std::memcpy(block, first_model_.data(), first_model_.bytes());
  } else {
    std::memcpy(block + layout_.likelihood, tables_.likelihood.data(), tables_.likelihood.bytes());
    std::memcpy(block + layout_.linear, tables_.linear.data(), tables_.linear.bytes());
    std::memcpy(block + layout_.transitions, tables_.transitions.data(), tables_.transitions.bytes());
  }
  if (options_.learning) {
    std::memcpy(block + layout_.likelihood_counts, first_counts_.data() + layout_.likelihood_counts,
                (layout_.habits - layout_.likelihood_counts) * sizeof(T));
  }
}

// Aᵀ ln C_t - H(A) of an own A.
template <typename T>
void VectorPopulation<T>::refresh_linear(const Learner& agent) const {
  for (size_t time = 0; time < tables_.preference_steps; ++time) {
    T* linear = agent.linear + time * tables_.stride;
    for (size_t s = 0; s < tables_.states; ++s) {
      double sum = 0;
      for (int m = 0; m < joint_.model.modalities(); ++m) {
        const double* ln_C = joint_.ln_preference(m, static_cast<int>(time));
        for (size_t o = 0; o < joint_.num_obs(m); ++o) {
          const auto p = static_cast<double>(
              agent.likelihood[(tables_.first_outcome[static_cast<size_t>(m)] + o) * tables_.stride + s]);
          if (options_.use_utility) sum += p * ln_C[o];
          if (options_.use_states_info_gain) sum += x_log_x(p);
        }
      }
      linear[s] = static_cast<T>(sum);
    }
  }
}

template <typename T>
Status VectorPopulation<T>::set_own_model(uint32_t slot, const std::vector<Tensor>& A, const std::vector<Tensor>& B) {
  if (!options_.own_models) return fail(ErrorCode::unsupported, "the agents of this population share one model");
  if (!occupied(slot)) return fail(ErrorCode::not_found, fmt::format("slot {} is empty", slot));
  GenerativeModel own_model = model_;
  own_model.A = A;
  own_model.B = B;
  std::vector<ModelWarning> warnings;
  SKEP_CHECK(validate(own_model, {}, &warnings));
  SKEP_TRY(GenerativeModel joint, joint_model(own_model, options_.joint_limit));
  const JointTables<T> tables =
      joint_tables<T>(compile(std::move(joint)), options_.use_utility, options_.use_states_info_gain, false);
  T* block = writable_own(slot);
  if (packed_models()) {
    pack_model(tables.likelihood.data(), tables.linear.data(), tables.transitions.data(), block);
    return {};
  }
  std::memcpy(block + layout_.likelihood, tables.likelihood.data(), tables.likelihood.bytes());
  std::memcpy(block + layout_.linear, tables.linear.data(), tables.linear.bytes());
  std::memcpy(block + layout_.transitions, tables.transitions.data(), tables.transitions.bytes());
  return {};
}

namespace {

template <typename T>
void forget_counts(T* counts, const T* first, size_t n, double share) {
  if (share == 0) return;
  for (size_t i = 0; i < n; ++i) counts[i] = first[i] + static_cast<T>(1 - share) * (counts[i] - first[i]);
}

}  // namespace

// a[o, s] += lr q[s] where a > 0, then every column of the modality is normalised.
template <typename T>
void VectorPopulation<T>::learn_likelihood(const Learner& agent, const T* belief, const uint16_t* observation) const {
  for (int m = 0; m < joint_.model.modalities(); ++m) {
    if (observation[m] == kNotObserved) continue;
    const size_t first = tables_.first_outcome[static_cast<size_t>(m)] * tables_.stride;
    const size_t outcomes = joint_.num_obs(m);
    T* counts = agent.likelihood_counts + first;
    T* A = agent.likelihood + first;
    forget_counts(counts, first_counts_.data() + layout_.likelihood_counts + first, outcomes * tables_.stride,
                  options_.forgetting);
    T* seen = counts + observation[m] * tables_.stride;
    for (size_t s = 0; s < tables_.states; ++s) {
      if (seen[s] > 0) seen[s] += static_cast<T>(options_.lr_pA) * belief[s];
    }
    for (size_t s = 0; s < tables_.states; ++s) {
      T sum = 0;
      for (size_t o = 0; o < outcomes; ++o) sum += counts[o * tables_.stride + s];
      for (size_t o = 0; o < outcomes; ++o) A[o * tables_.stride + s] = counts[o * tables_.stride + s] / sum;
    }
  }
}

// b[s', s, u] += lr q'[s'] q[s] where b > 0, then the columns of u are normalised.
template <typename T>
void VectorPopulation<T>::learn_transition(const Learner& agent, const T* before, const T* belief,
                                           uint32_t action) const {
  const size_t matrix = tables_.states * tables_.stride;
  if (options_.forgetting > 0) {
    forget_counts(agent.transition_counts, first_counts_.data() + layout_.transition_counts, tables_.actions * matrix,
                  options_.forgetting);
  }
  for (size_t u = 0; u < tables_.actions; ++u) {
    if (u != action && options_.forgetting == 0) continue;
    T* counts = agent.transition_counts + u * matrix;
    T* B = agent.transitions + u * matrix;
    for (size_t s = 0; s < tables_.states; ++s) {
      T* column = counts + s * tables_.stride;
      const T weight = u == action ? static_cast<T>(options_.lr_pB) * before[s] : T(0);
      T sum = 0;
      for (size_t next = 0; next < tables_.states; ++next) {
        if (column[next] > 0) column[next] += weight * belief[next];
        sum += column[next];
      }
      for (size_t next = 0; next < tables_.states; ++next) B[s * tables_.stride + next] = column[next] / sum;
    }
  }
}

template <typename T>
void VectorPopulation<T>::learn_chunk(std::span<const uint16_t> observations, uint32_t chunk, Scratch& scratch) {
  const typename FactoredCounts<T>::Rates rates{options_.lr_pA, options_.lr_pB, options_.forgetting};
  const uint32_t last = std::min(capacity(), (chunk + 1) * kChunk);
  for (uint32_t slot = chunk * kChunk; slot < last; ++slot) {
    if (!slots_.taken(slot) || age_[slot] == 0) continue;
    T* block = writable_own(slot);
    Learner agent{block + layout_.likelihood, block + layout_.linear, block + layout_.transitions,
                  block + layout_.likelihood_counts, block + layout_.transition_counts};
    if (packed_models()) {
      unpack_model(block, scratch);
      agent.likelihood = scratch.unpacked_likelihood.data();
      agent.transitions = scratch.unpacked_transitions.data();
    }
    const T* belief = typed_row(current_row(slot));
    const T* before = typed_row(row_before(slot));
    const uint16_t* observation = observations.data() + slot * model_.num_obs.size();
    if (factored_) {
      T* counts = agent.likelihood_counts;
      factored_->learn_likelihood(counts, agent.likelihood, belief, observation, rates, scratch.counts);
      if (age_[slot] > 1) {
        factored_->learn_transition(counts, agent.transitions, before, belief, previous_actions_[slot], rates,
                                    scratch.counts);
      }
    } else {
      learn_likelihood(agent, belief, observation);
      if (age_[slot] > 1) learn_transition(agent, before, belief, previous_actions_[slot]);
    }
    refresh_linear(agent);
    if (packed_models()) pack_model(agent.likelihood, agent.linear, agent.transitions, block);
  }
}

template <typename T>
Status VectorPopulation<T>::learn(std::span<const uint16_t> observations) {
  if (!options_.learning) return fail(ErrorCode::unsupported, "the population was created without learning");
  if (observations.size() != capacity() * model_.num_obs.size()) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} observations, expected {} × {}", observations.size(),
                                                         capacity(), model_.num_obs.size()));
  }
  for (uint32_t slot = 0; slot < capacity(); ++slot) {
    for (size_t m = 0; m < model_.num_obs.size() && slots_.taken(slot); ++m) {
      const uint16_t o = observations[slot * model_.num_obs.size() + m];
      if (o != kNotObserved && o >= model_.num_obs[m]) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("observation of slot {}, modality {}: no outcome {}", slot, m, o));
      }
    }
  }
  const uint32_t chunks = (capacity() + kChunk - 1) / kChunk;
  pool_.run(chunks, [&](uint32_t chunk, uint32_t thread) { learn_chunk(observations, chunk, scratch_[thread]); });
  commit(false);
  return {};
}

template void VectorPopulation<float>::copy_first_counts();
template void VectorPopulation<double>::copy_first_counts();
template void VectorPopulation<float>::own_from_shared(float*) const;
template void VectorPopulation<double>::own_from_shared(double*) const;
template Status VectorPopulation<float>::learn(std::span<const uint16_t>);
template Status VectorPopulation<double>::learn(std::span<const uint16_t>);
template Status VectorPopulation<float>::set_own_model(uint32_t, const std::vector<Tensor>&,
                                                       const std::vector<Tensor>&);
template Status VectorPopulation<double>::set_own_model(uint32_t, const std::vector<Tensor>&,
                                                        const std::vector<Tensor>&);

}  // namespace skep::belief
