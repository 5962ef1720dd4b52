#pragma once
// Expected free energy of policies, and the tree search of sophisticated inference. Internal to mind/belief.

#include "mind/belief/agent.h"
#include "mind/belief/compiled_model.h"

namespace skep::belief {

// Fills the terms of every policy by rolling `q` (flat beliefs) forward; q_pi is left to the caller.
void evaluate_policies(const CompiledModel& model, const AgentOptions& options, const double* q, PolicyTerms& terms);

// The same from beliefs that message passing already has: window[p] holds q over time, of which the last
// policy length + 1 entries are now and the future.
void evaluate_windows(const CompiledModel& model, const AgentOptions& options,
                      std::span<const std::vector<double>> windows, PolicyTerms& terms);

// Sophisticated inference (Friston et al. 2021) as pymdp searches: depth-first over actions and outcomes, branches with
// q_pi below si_policy_prune get si_prune_penalty, outcomes less probable than si_state_prune are skipped, γ is 1
// inside the tree. Fills neg_efe and q_pi. Returns how many nodes were expanded.
int64_t search_policies(const CompiledModel& model, const AgentOptions& options, const double* q, PolicyTerms& terms);

// P(u_f) under q_pi by first action, per factor.
std::vector<std::vector<double>> action_marginals(const CompiledModel& model, const std::vector<double>& q_pi);

}  // namespace skep::belief
