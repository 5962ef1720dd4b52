#pragma once
// Dirichlet learning. Counts grow by what was seen and inferred; entries where the likelihood is 0 are structural and
// stay as they are.
//   qA[m] = pA[m] + lr · onehot(o_m) ⊗ q(parents of m) · [A > 0]
//   qB[f][…, u] = pB[f][…, u] + lr · q_f(t) ⊗ q(parents of f at t-1) · [B > 0]
//   qD[f] = pD[f] + lr · q_f(0),   qE = pE + lr · q_π   (pE: E itself, or 1 for each policy)
// Forgetting moves counts back towards the first ones before they grow: a ← a₀ + (1 - forgetting)(a - a₀), so old
// evidence decays and counts stay bounded by a₀ + lr / forgetting. Internal to mind/belief; beliefs are flat.

#include <span>
#include <vector>

#include "mind/belief/compiled_model.h"

namespace skep::belief {

Tensor learn_A(const CompiledModel& model, int modality, int observation, const double* q, const Tensor& counts,
               double rate);
Tensor learn_B(const CompiledModel& model, int factor, int action, const double* before, const double* q,
               const Tensor& counts, double rate);
Tensor learn_D(const CompiledModel& model, int factor, const double* q, const Tensor& counts, double rate);
void forget(Tensor& counts, const Tensor& first, double share);
// Columns of axis 0 divided by their sums: the expectation of the Dirichlet.
Tensor expectation(const Tensor& counts);

}  // namespace skep::belief
