#pragma once
// One active-inference agent in f64: the reference that populations and kernels are tested against, and the engine of
// what they don't do (mean-field over many factors, marginal message passing, sophisticated inference, parameter
// information gain, learning of shared arrays). pymdp's names and numbers where they exist.
//
// Not thread-safe; one agent per thread at a time. Calls outside the documented order (infer_states, infer_policies,
// sample_action) are bugs and assert.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mind/belief/model.h"

namespace skep::belief {

enum class Inference : uint8_t {
  automatic,          // exact for one factor; joint when the joint is small and parameter gain is off; else mean-field
  mean_field,         // fixed point over factors, pymdp's schedule; exact for one factor
  joint,              // exact Bayes over the product of all factors, marginals kept correlated over time
  marginal_messages,  // marginal message passing over a window of past and future (Parr et al. 2019)
};
enum class ActionSelection : uint8_t { deterministic, sampled };

struct AgentOptions {
  Inference inference = Inference::mean_field;
  int64_t joint_limit = 4096;          // largest joint for which `automatic` filters jointly
  int mean_field_sweeps = 10;          // at most
  double mean_field_tolerance = 1e-3;  // stop when |F_old - F_new| is below; 0: always all sweeps
  int inference_horizon = 1;           // marginal messages: steps of the past in the window
  int message_iterations = 10;
  double message_step = 0.25;  // tau of the gradient descent

  double gamma = 16.0;          // precision over policies
  bool adaptive_gamma = false;  // update gamma from the policies' free energy as SPM does (precision.h)
  double alpha = 16.0;          // precision of sampled actions
  ActionSelection action_selection = ActionSelection::deterministic;
  bool use_utility = true;
  bool use_states_info_gain = true;
  bool use_param_info_gain = false;

  bool sophisticated = false;  // tree search over policies and outcomes
  int si_horizon = 3;
  double si_policy_prune = 1.0 / 16;
  double si_state_prune = 1.0 / 16;
  double si_prune_penalty = 512;
  int64_t si_node_limit = 1 << 20;  // expanded nodes; beyond it branches count as pruned

  double lr_pA = 1.0, lr_pB = 1.0, lr_pD = 1.0, lr_pE = 1.0;
  double forgetting = 0.0;  // share of the counts above the first ones that is lost per update, 0 … 1
  uint64_t seed = 0;
};

// Variational free energy in nats; F = complexity - accuracy. Of marginal messages: F is the policies' of the window,
// averaged over policies; accuracy and neg_entropy are those of its observed steps, and complexity is what is left.
struct FreeEnergy {
  double neg_entropy = 0;    // Σ q ln q
  double cross_entropy = 0;  // -Σ q ln prior
  double complexity = 0;     // KL[q || prior]
  double accuracy = 0;       // E_q[ln P(o | s)]
  double F = 0;
};

// Per policy, summed over steps and modalities; negative expected free energy is the sum of the four.
struct PolicyTerms {
  std::vector<double> utility, states_info_gain, pA_info_gain, pB_info_gain;
  std::vector<double> risk, ambiguity;  // the exact form: utility + states_info_gain = -(risk + ambiguity)
  std::vector<double> exact_utility, exact_states_info_gain;
  std::vector<double> neg_efe;  // pymdp's G: bigger is better
  std::vector<double> q_pi;
};

class Agent {
 public:
  // Refuses a model that validate() refuses (unreachable states apart), and options that don't fit it: a joint too
  // large, parameter information gain with joint inference, a sophisticated search with policies longer than one step.
  static Result<Agent> create(GenerativeModel model, AgentOptions options = {});
  Agent(Agent&&) noexcept;
  Agent& operator=(Agent&&) noexcept;
  ~Agent();

  // Posterior over states given one index per modality; -1: that modality was not observed. Out of range: an error.
  Status infer_states(std::span<const int> observation);
  // Posterior over policies, from the beliefs of infer_states.
  void infer_policies();
  // One action per factor; advances time.
  const JointAction& sample_action();
  // Overrides what sample_action chose: the world did something else.
  void set_action(const JointAction& action);
  void reset();

  [[nodiscard]] const GenerativeModel& model() const;  // with learnt arrays
  [[nodiscard]] const AgentOptions& options() const;
  [[nodiscard]] std::span<const double> prior(int factor) const;   // before the observation
  [[nodiscard]] std::span<const double> belief(int factor) const;  // q(s_f)
  // Joint inference only: the posterior over the product, C order. Empty otherwise.
  [[nodiscard]] std::span<const double> joint() const;
  [[nodiscard]] const FreeEnergy& free_energy() const;
  [[nodiscard]] const PolicyTerms& policy_terms() const;
  [[nodiscard]] const std::vector<Policy>& policies() const;
  // P(u_f) from q_pi over policies whose first action of f is u.
  [[nodiscard]] const std::vector<std::vector<double>>& action_marginals() const;
  // softmax(alpha ln marginal), what a sampled action is drawn from.
  [[nodiscard]] std::vector<std::vector<double>> action_probabilities() const;
  [[nodiscard]] const JointAction& action() const;
  [[nodiscard]] double gamma() const;
  // Marginal messages: q[policy][time in window][factor] flattened per factor, and the policies' free energies.
  [[nodiscard]] std::span<const double> window_belief(int policy, int time, int factor) const;
  [[nodiscard]] int window_length() const;
  [[nodiscard]] std::span<const double> policy_free_energy() const;

  // Dirichlet learning (learning.h); each needs its counts in the model. Arrays become the normalised counts.
  Status update_A(std::span<const int> observation);
  Status update_B();  // from the last two beliefs and the action between them; nothing on the first step
  Status update_D();  // from the current beliefs: call after the first step
  Status update_E();  // habit: counts of policies, from q_pi; they begin as E, or as 1 each

 private:
  struct Impl;
  explicit Agent(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::belief
