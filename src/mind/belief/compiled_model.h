#pragma once
// A valid GenerativeModel, laid out for the f64 engine: logarithms taken once, transitions grouped by action, beliefs
// of all factors in one flat array. Internal to mind/belief.
//
// Beliefs q: the marginals of all factors one after the other; factor f stands at [offset[f], offset[f + 1]).

#include <cstddef>
#include <vector>

#include "mind/belief/model.h"

namespace skep::belief {

// pymdp adds this inside every logarithm; so do we wherever its numbers are compared.
inline constexpr double kLogEpsilon = 1e-16;
// And this inside the logarithm of the ambiguity; joint states no more probable than it are skipped there (SPM).
inline constexpr double kAmbiguityEpsilon = 1.1253517471925912e-07;  // exp(-16)

struct CompiledModel {
  GenerativeModel model;
  std::vector<Policy> policies;
  std::vector<size_t> offset;  // factors + 1 entries
  std::vector<double> lnE;     // ln(E + eps), uniform where the model has none

  struct Modality {
    std::vector<int> dims;     // number of states of each parent factor
    size_t columns = 1;        // their product: A is [num_obs][columns]
    std::vector<double> ln_A;  // ln(A + eps)
    std::vector<double> ln_C;  // [time][num_obs], ln(softmax(C) + eps)
    int preference_steps = 1;  // beyond, the last one holds
    // Per column: Σ_o A ln(A + exp(-16)), as pymdp has it, and Σ_o A ln A.
    std::vector<double> neg_entropy_epsilon, neg_entropy;
    std::vector<double> novelty;  // W = 1/Σ a - 1/a where a > 0; empty without counts
  };
  struct Factor {
    std::vector<int> dims;
    size_t columns = 1;  // B is [action][num_states][columns] here
    std::vector<double> B;
    std::vector<double> novelty;  // as B; empty without counts
    std::vector<int> seen_by;     // modalities that depend on this factor
    std::vector<int> drives;      // factors whose transitions depend on this one
  };
  std::vector<Modality> modality;
  std::vector<Factor> factor;

  [[nodiscard]] size_t states() const { return offset.back(); }  // length of q
  [[nodiscard]] size_t num_states(int f) const { return static_cast<size_t>(model.num_states[static_cast<size_t>(f)]); }
  [[nodiscard]] size_t num_obs(int m) const { return static_cast<size_t>(model.num_obs[static_cast<size_t>(m)]); }
  [[nodiscard]] const double* ln_preference(int m, int time) const;  // num_obs values

  // After a change to model.A / model.pA (or B / pB) alone.
  void refresh_A();
  void refresh_B();
};

CompiledModel compile(GenerativeModel model);

}  // namespace skep::belief
