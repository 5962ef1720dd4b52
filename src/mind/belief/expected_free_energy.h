#pragma once
// The terms of the (negative) expected free energy of a sequence of predicted beliefs. Two forms: pymdp's, with its
// epsilons, whose numbers the goldens hold, and the exact one (0 ln 0 = 0). They differ by less than 4e-6.
// Internal to mind/belief.

#include <vector>

#include "mind/belief/compiled_model.h"

namespace skep::belief {

struct StepTerms {
  double utility = 0, states_info_gain = 0;              // pymdp's form
  double exact_utility = 0, exact_states_info_gain = 0;  // Σ qo ln C; H(qo) - E_q[H(A)]
  double risk = 0, ambiguity = 0;                        // KL[qo || C]; E_q[H(A)]
};

struct EfeScratch {
  explicit EfeScratch(const CompiledModel& model);
  std::vector<double> qo, qo_kept;
};

// Of one predicted belief `q` (flat marginals) at `time` steps from now (0: the first), all modalities.
StepTerms step_terms(const CompiledModel& model, const double* q, int time, EfeScratch& scratch);

// Parameter information gain (novelty) about A and B, SPM's form; 0 without counts. `before` is the belief one step
// earlier, `action` leads from it to `q`.
double A_novelty(const CompiledModel& model, const double* q, EfeScratch& scratch);
double B_novelty(const CompiledModel& model, const double* before, const int* action, const double* q);

}  // namespace skep::belief
