#pragma once
// Precision over policies, γ = 1/β, as SPM adapts it (spm_MDP_VB_X; Smith, Friston & Whyte 2022, eq. 17):
//   π₀ = softmax(ln E - γ G),  π = softmax(ln E - γ G - F),  β ← β - (β - β₀ + (π - π₀)·(-G)) / ψ
// When what happened (F) speaks for the policies that G prefers, γ grows; when it speaks against them, it falls.

#include <span>

namespace skep::belief {

struct PrecisionOptions {
  int iterations = 16;
  double step = 2.0;       // ψ
  double smallest = 1e-3;  // of β: bounds γ at 1000
};

// The new β. `neg_efe` is -G (bigger is better), `policy_F` the free energy of each policy given what happened.
double adapt_beta(double beta, double beta_prior, std::span<const double> neg_efe, std::span<const double> policy_F,
                  std::span<const double> ln_E, const PrecisionOptions& options = {});

}  // namespace skep::belief
