#include "mind/belief/joint_tables.h"

#include <algorithm>
#include <cassert>

namespace skep::belief {

template <typename T>
JointTables<T> joint_tables(const CompiledModel& c, bool use_utility, bool use_states_info_gain, bool fold) {
  const GenerativeModel& m = c.model;
  assert(m.factors() == 1);
  JointTables<T> t;
  t.states = c.num_states(0);
  t.stride = kernel::belief_stride<T>(t.states);
  t.actions = static_cast<size_t>(m.num_controls[0]);
  t.entropy = use_states_info_gain;
  for (int i = 0; i < m.modalities(); ++i) {
    t.first_outcome.push_back(t.outcomes);
    t.outcomes += c.num_obs(i);
    t.preference_steps =
        std::max(t.preference_steps, static_cast<size_t>(c.modality[static_cast<size_t>(i)].preference_steps));
  }
  t.pitch = kernel::belief_stride<T>(t.outcomes);
  t.ln_prior.assign(c.lnE.begin(), c.lnE.end());

  t.start = AlignedArray<T>(t.stride);
  std::copy(m.D[0].data.begin(), m.D[0].data.end(), t.start.data());

  t.likelihood = AlignedArray<T>(t.outcomes * t.stride);
  std::vector<double> linear(t.preference_steps * t.states, 0.0);
  for (int i = 0; i < m.modalities(); ++i) {
    const auto at = static_cast<size_t>(i);
    for (size_t o = 0; o < c.num_obs(i); ++o) {
      for (size_t s = 0; s < t.states; ++s) {
        const double p = m.A[at].data[o * t.states + s];
        t.likelihood[(t.first_outcome[at] + o) * t.stride + s] = static_cast<T>(p);
        for (size_t time = 0; time < t.preference_steps && use_utility; ++time) {
          linear[time * t.states + s] += p * c.ln_preference(i, static_cast<int>(time))[o];
        }
      }
    }
    for (size_t time = 0; time < t.preference_steps && use_states_info_gain; ++time) {
      for (size_t s = 0; s < t.states; ++s) linear[time * t.states + s] += c.modality[at].neg_entropy[s];
    }
  }
  t.linear = AlignedArray<T>(t.preference_steps * t.stride);
  for (size_t time = 0; time < t.preference_steps; ++time) {
    for (size_t s = 0; s < t.states; ++s) t.linear[time * t.stride + s] = static_cast<T>(linear[time * t.states + s]);
  }

  // c.factor[0].B is [action][next][state]; a column of it becomes a row here.
  t.transitions = AlignedArray<T>(t.actions * t.states * t.stride);
  for (size_t a = 0; a < t.actions; ++a) {
    for (size_t next = 0; next < t.states; ++next) {
      for (size_t s = 0; s < t.states; ++s) {
        t.transitions[(a * t.states + s) * t.stride + next] =
            static_cast<T>(c.factor[0].B[(a * t.states + next) * t.states + s]);
      }
    }
  }
  if (!fold) return t;

  t.predictive = AlignedArray<T>(t.actions * t.states * t.pitch);
  t.folded = AlignedArray<T>(t.preference_steps * t.actions * t.stride);
  std::vector<double> column(t.states), outcome(t.outcomes);
  for (size_t a = 0; a < t.actions; ++a) {
    for (size_t s = 0; s < t.states; ++s) {
      for (size_t next = 0; next < t.states; ++next) column[next] = c.factor[0].B[(a * t.states + next) * t.states + s];
      for (int i = 0; i < m.modalities(); ++i) {
        const auto at = static_cast<size_t>(i);
        for (size_t o = 0; o < c.num_obs(i); ++o) {
          double p = 0;
          for (size_t next = 0; next < t.states; ++next) p += m.A[at].data[o * t.states + next] * column[next];
          t.predictive[(a * t.states + s) * t.pitch + t.first_outcome[at] + o] = static_cast<T>(p);
        }
      }
      for (size_t time = 0; time < t.preference_steps; ++time) {
        double l = 0;
        for (size_t next = 0; next < t.states; ++next) l += column[next] * linear[time * t.states + next];
        t.folded[(time * t.actions + a) * t.stride + s] = static_cast<T>(l);
      }
    }
  }
  return t;
}

template JointTables<float> joint_tables<float>(const CompiledModel&, bool, bool, bool);
template JointTables<double> joint_tables<double>(const CompiledModel&, bool, bool, bool);

}  // namespace skep::belief
