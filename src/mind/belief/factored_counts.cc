#include "mind/belief/factored_counts.h"

#include <algorithm>
#include <cassert>

#include "mind/belief/joint_model.h"
#include "mind/belief/population.h"

namespace skep::belief {

template <typename T>
FactoredCounts<T>::FactoredCounts(const GenerativeModel& model, const JointTables<T>& tables)
    : states_(tables.states), stride_(tables.stride), actions_(tables.actions), first_outcome_(tables.first_outcome) {
  const auto add = [this](const Tensor& counts, size_t controls, std::vector<uint32_t> of, std::vector<uint32_t> lead) {
    Part part;
    part.at = first_.size();
    part.rows = static_cast<size_t>(counts.shape[0]);
    part.controls = controls;
    part.parents = counts.size() / part.rows / controls;
    part.of = std::move(of);
    part.lead = std::move(lead);
    std::transform(counts.data.begin(), counts.data.end(), std::back_inserter(first_),
                   [](double n) { return static_cast<T>(n); });
    return part;
  };
  for (size_t m = 0; m < model.pA.size(); ++m)
    likelihood_.push_back(add(model.pA[m], 1, columns_of(model, model.A_factors[m]), {}));
  for (size_t f = 0; f < model.pB.size(); ++f) {
    transition_.push_back(add(model.pB[f], static_cast<size_t>(model.num_controls[f]),
                              columns_of(model, model.B_factors[f]), columns_of(model, {static_cast<int>(f)})));
  }
  for (size_t u = 0; u < actions_; ++u) {
    for (int control : model.unpack_action(static_cast<int>(u))) controls_.push_back(static_cast<uint32_t>(control));
  }
}

template <typename T>
typename FactoredCounts<T>::Scratch FactoredCounts<T>::scratch() const {
  Scratch s;
  size_t parents = 0, largest = 0, transitions = 0;
  for (const auto* parts : {&likelihood_, &transition_}) {
    for (const Part& part : *parts) {
      parents = std::max(parents, part.parents * part.controls);
      largest = std::max(largest, part.size());
    }
  }
  for (const Part& part : transition_) transitions += part.size();
  s.weights.resize(parents);
  s.own.resize(states_);
  s.sums.resize(parents);
  s.expected.resize(std::max(largest, transitions));
  s.column.resize(states_);
  s.wider.resize(states_);
  return s;
}

template <typename T>
void FactoredCounts<T>::marginal(const T* belief, const std::vector<uint32_t>& of, size_t n,
                                 std::vector<T>& out) const {
  std::fill_n(out.begin(), n, T(0));
  for (size_t s = 0; s < states_; ++s) out[of[s]] += belief[s];
}

// counts / Σ over rows, for every combination of parents (and control).
template <typename T>
void FactoredCounts<T>::expectation(const Part& part, const T* counts, T* out, std::vector<T>& sums) const {
  const size_t columns = part.parents * part.controls;
  std::fill_n(sums.begin(), columns, T(0));
  for (size_t i = 0; i < part.rows; ++i) {
    for (size_t c = 0; c < columns; ++c) sums[c] += counts[i * columns + c];
  }
  for (size_t i = 0; i < part.rows; ++i) {
    for (size_t c = 0; c < columns; ++c) out[i * columns + c] = counts[i * columns + c] / sums[c];
  }
}

template <typename T>
void FactoredCounts<T>::forget(const Part& part, T* block, double share) const {
  if (share == 0) return;
  for (size_t i = part.at; i < part.at + part.size(); ++i)
    block[i] = first_[i] + static_cast<T>(1 - share) * (block[i] - first_[i]);
}

template <typename T>
void FactoredCounts<T>::learn_likelihood(T* counts, T* likelihood, const T* belief, const uint16_t* observation,
                                         const Rates& rates, Scratch& s) const {
  for (size_t m = 0; m < likelihood_.size(); ++m) {
    if (observation[m] == kNotObserved) continue;
    const Part& part = likelihood_[m];
    forget(part, counts, rates.forgetting);
    marginal(belief, part.of, part.parents, s.weights);
    T* seen = counts + part.at + observation[m] * part.parents;
    for (size_t c = 0; c < part.parents; ++c) {
      if (seen[c] > 0) seen[c] += static_cast<T>(rates.likelihood) * s.weights[c];
    }
    expectation(part, counts + part.at, s.expected.data(), s.sums);
    for (size_t o = 0; o < part.rows; ++o) {
      T* row = likelihood + (first_outcome_[m] + o) * stride_;
      for (size_t state = 0; state < states_; ++state) row[state] = s.expected[o * part.parents + part.of[state]];
    }
  }
}

template <typename T>
void FactoredCounts<T>::learn_transition(T* counts, T* transitions, const T* before, const T* belief, uint32_t action,
                                         const Rates& rates, Scratch& s) const {
  const size_t factors = transition_.size();
  const uint32_t* taken = controls_.data() + action * factors;
  size_t at = 0;  // of this factor in `expected`
  for (size_t f = 0; f < factors; ++f) {
    const Part& part = transition_[f];
    forget(part, counts, rates.forgetting);
    marginal(before, part.of, part.parents, s.weights);
    marginal(belief, part.lead, part.rows, s.own);
    for (size_t next = 0; next < part.rows; ++next) {
      for (size_t c = 0; c < part.parents; ++c) {
        T& n = counts[part.at + (next * part.parents + c) * part.controls + taken[f]];
        if (n > 0) n += static_cast<T>(rates.transition) * s.own[next] * s.weights[c];
      }
    }
    expectation(part, counts + part.at, s.expected.data() + at, s.sums);
    at += part.size();
  }
  for (uint32_t u = 0; u < actions_; ++u) {
    bool changed = rates.forgetting > 0;
    for (size_t f = 0; f < factors; ++f) changed = changed || controls_[u * factors + f] == taken[f];
    if (changed) write_transition(s.expected, u, transitions + u * states_ * stride_, s);
  }
}

// Column s of the joint transition: the outer product of the factors' columns, the last factor innermost.
template <typename T>
void FactoredCounts<T>::write_transition(const std::vector<T>& expected, uint32_t action, T* transition,
                                         Scratch& scratch) const {
  const size_t factors = transition_.size();
  for (size_t s = 0; s < states_; ++s) {
    T* column = scratch.column.data();
    T* wider = scratch.wider.data();
    column[0] = 1;
    size_t n = 1, at = 0;
    for (size_t f = 0; f < factors; ++f) {
      const Part& part = transition_[f];
      const T* own = expected.data() + at + part.of[s] * part.controls + controls_[action * factors + f];
      for (size_t i = 0; i < n; ++i) {
        for (size_t next = 0; next < part.rows; ++next)
          wider[i * part.rows + next] = column[i] * own[next * part.parents * part.controls];
      }
      n *= part.rows;
      at += part.size();
      std::swap(column, wider);
    }
    assert(n == states_);
    std::copy_n(column, states_, transition + s * stride_);
  }
}

template class FactoredCounts<float>;
template class FactoredCounts<double>;

}  // namespace skep::belief
