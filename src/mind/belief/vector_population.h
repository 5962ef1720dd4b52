#pragma once
// The population whose beliefs are over the joint of all factors, stepped by the vector kernels: shared models with
// folded planning, or an own A and B for every agent. T is float or double. Internal to mind/belief.
//
// A shared model of which all transitions fit the first-level cache is filtered with agents in the order of their
// slots. With a larger one a chunk of agents is ordered by last action, so that those with the same transition go
// through the filter kernel together. Planning then runs over the whole chunk, one action at a time, while that
// action's matrix stays in cache.

#include <optional>

#include "kernel/belief_kernels.h"
#include "mind/belief/compiled_model.h"
#include "mind/belief/factored_counts.h"
#include "mind/belief/joint_tables.h"
#include "mind/belief/policy_tree.h"
#include "mind/belief/population_base.h"

namespace skep::belief {

// Where the parts of what is an agent's own stand in its block, in entries of T. Parts that it shares take nothing. Of
// a packed model likelihood and transitions have two numbers in an entry, and each part begins on a 64-byte line.
struct OwnLayout {
  size_t likelihood = 0, linear = 0, transitions = 0;  // laid out as in JointTables
  size_t model = 0;                                    // entries of the above together
  // One factor: counts in the shapes of likelihood and transitions. Several: a FactoredCounts block.
  size_t likelihood_counts = 0, transition_counts = 0;
  size_t habits = 0;  // ln E
  size_t entries = 0;

  // `factored`: null for models with one factor.
  template <typename T>
  static OwnLayout of(const JointTables<T>& tables, const PopulationOptions& options,
                      const FactoredCounts<T>* factored);
};

template <typename T>
class VectorPopulation final : public PopulationBase {
 public:
  VectorPopulation(GenerativeModel model, CompiledModel joint, JointTables<T> tables,
                   std::optional<FactoredCounts<T>> factored, PopulationOptions options, kernel::ThreadPool& pool,
                   StateFile state);

  void marginal(uint32_t slot, int factor, std::span<double> out) const override;
  Status learn(std::span<const uint16_t> observations) override;
  Status set_own_model(uint32_t slot, const std::vector<Tensor>& A, const std::vector<Tensor>& B) override;
  std::string backend() const override;

 protected:
  void update(const Batch& batch) override;
  std::vector<double> belief_of(const std::vector<std::vector<double>>& factors) const override;
  void write_habits(uint32_t slot, std::span<const double> E) override;
  void write_start(uint32_t slot, std::byte* row) override;
  double largest_likelihood(const uint16_t* observation) const override;
  void believe(const uint16_t* observation, std::byte* row) const override;

 private:
  // What one thread works in. Allocated once.
  struct Scratch {
    Scratch(const VectorPopulation& population);
    std::vector<uint32_t> group_start;
    std::vector<uint16_t> group;
    std::vector<uint32_t> sorted;     // slots by position, where they are ordered by action
    const uint32_t* order = nullptr;  // slots by position: `sorted`, or those of the batch
    std::vector<const T*> source, likelihood, transition;
    std::vector<T*> target;
    AlignedArray<T> evidence, surprise, rows;
    AlignedArray<T> policy_values;                          // [policies][kChunk]
    std::vector<AlignedArray<T>> level_values, level_rows;  // per depth of the policy tree
    std::vector<std::vector<const T*>> level_pointers;
    AlignedArray<T> own_predicted, own_values, own_scratch;
    std::vector<const uint16_t*> packed_likelihood, packed_transition;
    AlignedArray<T> unpacked_likelihood, unpacked_transitions;  // of an agent that learns
    std::vector<double> first_action;                           // by joint action
    std::vector<std::vector<double>> marginals;                 // by factor
    typename FactoredCounts<T>::Scratch counts;
  };

  void count_by_action(const Batch& batch, Scratch& s) const;
  void order_by_action(const Batch& batch, Scratch& s) const;
  void filter_shared(const Batch& batch, Scratch& s) const;
  void filter_by_action(const Batch& batch, Scratch& s) const;
  bool filter_run(const Batch& batch, Scratch& s) const;
  void point(const Batch& batch, uint32_t i, uint32_t at, Scratch& s) const;
  void filter_own(const Batch& batch, Scratch& s) const;
  void filter_and_plan_own(const Batch& batch, Scratch& s);
  void plan_node(Scratch& s, uint32_t node, int depth, uint32_t n) const;
  void plan_own_node(Scratch& s, const T* own, const T* belief, uint32_t node, int depth, uint32_t column, T value,
                     const void* prefetch) const;
  void scatter_surprise(uint32_t n, Scratch& s);
  void add_habits(Scratch& s, uint32_t n) const;
  void choose(Scratch& s, uint32_t n);
  uint16_t choose_one(Scratch& s, uint32_t i, uint32_t slot) const;
  // The same where own models are packed (packed_own_models.cc).
  void filter_packed_own(const Batch& batch, Scratch& s);
  void point_packed_own(const Batch& batch, Scratch& s) const;
  void efe_packed_own(Scratch& s, const T* block, const T* belief, size_t level, const void* prefetch) const;
  void pack_model(const T* likelihood, const T* linear, const T* transitions, T* block) const;
  void unpack_model(const T* block, Scratch& s) const;
  [[nodiscard]] bool packed_models() const { return options_.own_storage != ModelStorage::full; }
  [[nodiscard]] const T* own(uint32_t slot) const { return typed_row(own_block(slot)); }
  T* writable_own(uint32_t slot) { return reinterpret_cast<T*>(writable_block(slot)); }
  void own_from_shared(T* block) const;
  void copy_first_counts();
  void learn_chunk(std::span<const uint16_t> observations, uint32_t chunk, Scratch& s);
  // What learning changes of one agent: its counts, and what follows from them.
  struct Learner {
    T *likelihood, *linear, *transitions;
    T *likelihood_counts, *transition_counts;
  };
  void refresh_linear(const Learner& agent) const;
  void learn_likelihood(const Learner& agent, const T* belief, const uint16_t* observation) const;
  void learn_transition(const Learner& agent, const T* before, const T* belief, uint32_t action) const;
  [[nodiscard]] const T* typed_row(const std::byte* row) const { return reinterpret_cast<const T*>(row); }

  CompiledModel joint_;  // one factor
  JointTables<T> tables_;
  PolicyTree tree_;
  std::optional<FactoredCounts<T>> factored_;  // learning with several factors
  OwnLayout layout_;
  AlignedArray<T> first_model_;   // packed own models: the shared one, as it begins a block
  AlignedArray<T> first_counts_;  // learning: the shared model's, laid out as in a block
  const kernel::BeliefKernels<T>& kernels_;
  std::vector<Scratch> scratch_;   // per thread
  std::vector<double> likeliest_;  // packed rows: by outcome of all modalities, its largest likelihood
  bool runs_ = false;              // shared transitions are few and small: agents need no ordering by action
  bool plain_policies_ = false;    // one step, policy p is joint action p, one factor: q_pi is the action posterior
};

}  // namespace skep::belief
