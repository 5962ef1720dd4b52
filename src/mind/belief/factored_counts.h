#pragma once
// Dirichlet counts of one agent's own model when the model has several factors, while its belief and its matrices are
// over their joint: counts stay as the factored model has them, pA[m] over the parents of modality m and pB[f] over the
// parents of factor f, and the joint matrices are written out of their expectations. So what is learnt about a place
// holds whatever the other factors are, as in learning.h, whose sums these are; the beliefs over parents are the
// joint's exact marginals instead of products.
//
// A block of counts is one array of T: the pA of all modalities, then the pB of all factors, each in C order.
// One object serves all agents and threads; what a call works in is the caller's Scratch. Nothing allocates in a call.
// Internal to mind/belief.

#include <cstdint>
#include <vector>

#include "mind/belief/joint_tables.h"
#include "mind/belief/model.h"

namespace skep::belief {

template <typename T>
class FactoredCounts {
 public:
  struct Rates {
    double likelihood = 1, transition = 1, forgetting = 0;
  };
  struct Scratch {
    std::vector<T> weights, own, sums, expected, column, wider;
  };

  // `model` has counts for all of A and B; `tables` are of its joint.
  FactoredCounts(const GenerativeModel& model, const JointTables<T>& tables);

  [[nodiscard]] size_t entries() const { return first_.size(); }
  [[nodiscard]] const T* first() const { return first_.data(); }  // pA and pB as the model has them
  [[nodiscard]] Scratch scratch() const;

  // pA[m][o, …] += rate · q(parents) where it is positive; then the rows of m in `likelihood`, laid out as in
  // JointTables, are the expectation. Modalities that were not observed stay as they are.
  void learn_likelihood(T* counts, T* likelihood, const T* belief, const uint16_t* observation, const Rates& rates,
                        Scratch& scratch) const;
  // pB[f][s', …, u_f] += rate · q(s'_f) q_before(parents) where it is positive; then the columns in `transitions` of
  // all joint actions that share a control with `action` (of all when counts are forgotten) are the expectation.
  void learn_transition(T* counts, T* transitions, const T* before, const T* belief, uint32_t action,
                        const Rates& rates, Scratch& scratch) const;

 private:
  struct Part {                  // one pA[m] or pB[f]
    size_t at = 0;               // in a block
    size_t rows = 0;             // outcomes or next states
    size_t parents = 0;          // combinations of the parents' states
    size_t controls = 1;         // pB only
    std::vector<uint32_t> of;    // by joint state: its combination of the parents
    std::vector<uint32_t> lead;  // by joint state: its own state; pB only
    [[nodiscard]] size_t size() const { return rows * parents * controls; }
  };

  void marginal(const T* belief, const std::vector<uint32_t>& of, size_t n, std::vector<T>& out) const;
  void expectation(const Part& part, const T* counts, T* out, std::vector<T>& sums) const;
  void forget(const Part& part, T* block, double share) const;
  void write_transition(const std::vector<T>& expected, uint32_t action, T* transition, Scratch& scratch) const;

  size_t states_, stride_, actions_;
  std::vector<size_t> first_outcome_;
  std::vector<Part> likelihood_, transition_;
  std::vector<uint32_t> controls_;  // [joint action][factor]
  std::vector<T> first_;
};

}  // namespace skep::belief
