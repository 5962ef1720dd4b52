#pragma once
// A discrete partially observed Markov decision process as active inference writes it (Da Costa et al. 2020, "Active
// inference on discrete state-spaces"): hidden state factors, observation modalities, and the arrays A, B, C, D, E.
//
//   A[m]  P(o_m | states of the factors in A_factors[m])     shape [num_obs[m], ns of each of those factors …]
//   B[f]  P(s_f' | states of the factors in B_factors[f], u)  shape [num_states[f], ns of each …, num_controls[f]]
//   C[m]  log preference over o_m, unnormalised               shape [num_obs[m]] or [num_obs[m], time]
//   D[f]  P(s_f) at the first step                            shape [num_states[f]]
//   E     prior over policies (habit)                         one entry per policy; empty: uniform
//   pA, pB, pD  Dirichlet counts, shaped as A, B, D           empty: that array is known and never learnt
//
// Axis 0 of A, B and D sums to 1. These are the conventions of pymdp; `README` of the golden vectors spells them out.
// A model is a plain value. validate() must have accepted it before an engine sees it; engines assert that.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "mind/belief/tensor.h"

namespace skep::belief {

// The action of every factor at one time; 0 for a factor with one control.
using JointAction = std::vector<int>;
// policy[t][f].
using Policy = std::vector<JointAction>;

struct GenerativeModel {
  std::string name;
  std::vector<int> num_states;    // per factor
  std::vector<int> num_obs;       // per modality
  std::vector<int> num_controls;  // per factor; 1: uncontrollable
  std::vector<std::vector<int>> A_factors;
  std::vector<std::vector<int>> B_factors;
  std::vector<Tensor> A, B, C, D;
  std::vector<double> E;
  std::vector<Tensor> pA, pB, pD;
  std::vector<Policy> policies;  // empty: every sequence of joint actions of length policy_length
  int policy_length = 1;

  // Optional names for people; empty or one per element.
  std::vector<std::string> factor_names, modality_names;

  [[nodiscard]] int factors() const { return static_cast<int>(num_states.size()); }
  [[nodiscard]] int modalities() const { return static_cast<int>(num_obs.size()); }
  // Number of joint actions: the product of num_controls.
  [[nodiscard]] int joint_actions() const;
  // Number of joint states: the product of num_states, saturating at INT64_MAX.
  [[nodiscard]] int64_t joint_states() const;

  // Joint actions are numbered like itertools.product(range(num_controls[0]), …): the last factor varies fastest.
  [[nodiscard]] JointAction unpack_action(int joint) const;
  [[nodiscard]] int pack_action(const JointAction& action) const;

  friend bool operator==(const GenerativeModel&, const GenerativeModel&) = default;
};

// Bounds on what is accepted; a model from outside can't make us allocate without limit.
struct ModelLimits {
  int factors = 16;
  int modalities = 32;
  int states_per_factor = 1 << 16;
  int obs_per_modality = 1 << 16;
  int controls_per_factor = 4096;
  int64_t entries_per_array = int64_t{1} << 28;
  int64_t policies = 1 << 20;
  double sum_tolerance = 1e-6;  // how far a column may be from 1
};

// One finding of validate(). `where` names matrix and index: "B[0][:, 3, 1]".
struct ModelWarning {
  std::string where;
  std::string what;
};

// Refuses wrong shapes, NaN, infinities, negative entries, columns that don't sum to 1, dependencies on factors that
// don't exist, policies with actions out of range. The error names the matrix and the index. A state that neither D nor
// any transition reaches is an error too, unless `warnings` is given, which then gets it instead.
Status validate(const GenerativeModel& model, const ModelLimits& limits = {},
                std::vector<ModelWarning>* warnings = nullptr);

// Fills in what may be left out: C (zeros), D (uniform), A_factors (all), B_factors (own), num_* (from shapes), A/B/D
// from pA/pB/pD when only counts are given. Then validates.
Result<GenerativeModel> complete(GenerativeModel model, const ModelLimits& limits = {});

// Reads a model from YAML or JSON text. Keys: name, A, B, C, D, E, pA, pB, pD, A_factors, B_factors, policies,
// policy_length, factor_names, modality_names; arrays nest as lists, axis 0 outermost. Unknown keys are refused.
// `what` names the text in errors. The result is complete and valid.
Result<GenerativeModel> read_model_yaml(std::string_view text, std::string_view what, const ModelLimits& limits = {});
Result<GenerativeModel> read_model_json(std::string_view text, std::string_view what, const ModelLimits& limits = {});
// By extension: .json, else YAML. Files over `size` are refused.
Result<GenerativeModel> load_model(const std::string& path, const ModelLimits& limits = {}, Bytes size = 256_MiB);
// JSON that read_model_json reads back to an equal model.
std::string write_model_json(const GenerativeModel& model);

// All sequences of joint actions of `length`, in the order of itertools.product(num_controls * length).
std::vector<Policy> all_policies(const std::vector<int>& num_controls, int length);
// model.policies, or all_policies when that is empty.
std::vector<Policy> policies_of(const GenerativeModel& model);

}  // namespace skep::belief
