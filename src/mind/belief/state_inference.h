#pragma once
// Posteriors over hidden states for one observation: predict, then the exact filter for one factor or the mean-field
// fixed point for several. All beliefs are flat (compiled_model.h); no function allocates: scratch comes from outside.
// Internal to mind/belief.

#include <span>
#include <vector>

#include "mind/belief/agent.h"
#include "mind/belief/compiled_model.h"

namespace skep::belief {

// Scratch for one thread. Sized for one model once.
struct InferenceScratch {
  explicit InferenceScratch(const CompiledModel& model);
  std::vector<double> ln_prior, next, message;
};

// prior_f(s') = Σ_s B_f[s', s…, u_f] Π q(s): per-factor marginals, as pymdp.
void predict(const CompiledModel& model, const double* q, const int* action, double* prior);

// q_f ∝ exp(Σ_m E_{q_-f}[ln A_m(o_m)] + ln prior_f), from uniform q, Jacobi sweeps (every factor from the old q), at
// most `sweeps`, until |F_old - F_new| < tolerance; the first F_old has no accuracy term. Exact for one factor, where
// one evaluation is all. observation[m] = -1: not observed.
void infer_mean_field(const CompiledModel& model, const int* observation, const double* prior, int sweeps,
                      double tolerance, InferenceScratch& scratch, double* q);

// F of q under this prior and observation, in nats.
FreeEnergy free_energy(const CompiledModel& model, const int* observation, const double* prior, const double* q);

// Brute-force Bayes over the product of all factors under the product of `prior`: the posterior in C order, and
// -ln P(o) as the result. `joint` has model.joint_states() values.
double exact_joint_posterior(const CompiledModel& model, const int* observation, const double* prior,
                             std::span<double> joint);
// Marginals of a joint in C order into flat beliefs.
void marginals_of_joint(const GenerativeModel& model, std::span<const double> joint, double* q);

}  // namespace skep::belief
