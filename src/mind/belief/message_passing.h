#pragma once
// Marginal message passing (Parr, Markovic, Kiebel, Friston 2019): posteriors over a window of past and future states
// under one policy, by gradient descent on free energy, with SPM's and pymdp's schedule. Internal to mind/belief.

#include <span>
#include <vector>

#include "mind/belief/compiled_model.h"

namespace skep::belief {

struct MessageOptions {
  int iterations = 10;
  double step = 0.25;
};

struct WindowPosterior {
  int length = 0;         // past observations + length of the policy
  std::vector<double> q;  // [time][flat beliefs]
  double F = 0;           // free energy of the policy in pymdp's sign
};

// `observations`: one per past step, the last is now, at least one; each has an index per modality (-1: not observed).
// `past_actions`: the actions between them, one fewer. `prior`: flat beliefs before the first observation.
WindowPosterior pass_messages(const CompiledModel& model, std::span<const std::vector<int>> observations,
                              std::span<const JointAction> past_actions, const Policy& policy, const double* prior,
                              const MessageOptions& options);

}  // namespace skep::belief
