#pragma once
// A model with one (joint) factor as the vector kernels want it: rows of belief_stride, transitions by column, and what
// planning with a fixed shared model folds together:
//   AB_a = A B_a,   l_a(t) = B_aᵀ (Aᵀ ln C_t - H),   so that  -G_a = l_a · q + H(AB_a q)
// which is 2.5 times less work than predicting states and observations apart. Modalities are stacked: their outcomes
// follow each other in one row of predicted observations, and entropies simply add up. Internal to mind/belief.

#include "kernel/belief_kernels.h"
#include "mind/belief/aligned_array.h"
#include "mind/belief/compiled_model.h"

namespace skep::belief {

template <typename T>
struct JointTables {
  size_t states = 0, stride = 0;
  size_t outcomes = 0, pitch = 0;  // stacked over modalities
  size_t actions = 0;
  size_t preference_steps = 1;
  bool entropy = true;                // use_states_info_gain
  std::vector<size_t> first_outcome;  // per modality: where its outcomes start
  AlignedArray<T> likelihood;         // [outcomes] rows over states
  AlignedArray<T> linear;             // [preference_steps] rows: Aᵀ ln C_t - H
  AlignedArray<T> transitions;        // [actions][states] columns
  AlignedArray<T> predictive;         // AB: [actions][states] columns of pitch
  AlignedArray<T> folded;             // l: [preference_steps][actions] rows
  AlignedArray<T> start;              // D
  std::vector<T> ln_prior;            // ln E

  [[nodiscard]] const T* transition(size_t action) const { return transitions.data() + action * states * stride; }
  [[nodiscard]] const T* observation(size_t modality, size_t outcome) const {
    return likelihood.data() + (first_outcome[modality] + outcome) * stride;
  }
  [[nodiscard]] const T* linear_at(size_t time) const {
    return linear.data() + std::min(time, preference_steps - 1) * stride;
  }
  [[nodiscard]] const T* folded_at(size_t time, size_t action) const {
    return folded.data() + (std::min(time, preference_steps - 1) * actions + action) * stride;
  }
  [[nodiscard]] const T* predictive_of(size_t action) const { return predictive.data() + action * states * pitch; }
  [[nodiscard]] size_t bytes() const {
    return likelihood.bytes() + linear.bytes() + transitions.bytes() + predictive.bytes() + folded.bytes() +
           start.bytes();
  }
};

// `model` has one factor. `fold`: also AB and l, for shared models.
template <typename T>
JointTables<T> joint_tables(const CompiledModel& model, bool use_utility, bool use_states_info_gain, bool fold);

}  // namespace skep::belief
