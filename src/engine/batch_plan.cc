#include "engine/batch_plan.h"

#include <algorithm>
#include <cassert>
#include <climits>

namespace skep::engine {
namespace {

constexpr double kWeight = 0.2;  // of the newest step in a moving average

// Cancelling a step that only reads prompts must not take long either.
constexpr double kQuietSeconds = 1.0;

void learn(double& average, double value) { average = average == 0 ? value : average + kWeight * (value - average); }

}  // namespace

std::vector<int> plan_batch(std::span<const BatchCandidate> candidates, int batch_tokens, int prompt_tokens,
                            size_t first) {
  std::vector<int> taken(candidates.size(), 0);
  int left = batch_tokens;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const size_t at = (first + i) % candidates.size();
    const BatchCandidate& c = candidates[at];
    assert(c.tokens > 0);
    if (c.prompt || c.tokens > left) continue;
    taken[at] = c.tokens;
    left -= c.tokens;
  }
  left = std::min(left, prompt_tokens);
  for (size_t at = 0; at < candidates.size(); ++at) {
    if (!candidates[at].prompt) continue;
    taken[at] = std::min(left, candidates[at].tokens);
    left -= taken[at];
  }
  return taken;
}

void StepTimes::record(int stream_tokens, int prompt_tokens, Duration took) {
  const double s = seconds(took);
  learn(mean_, s);
  if (prompt_tokens == 0) {
    learn(stream_step_, s);
  } else if (stream_tokens == 0) {
    learn(prompt_token_, s / prompt_tokens);
  } else if (stream_step_ > 0) {
    learn(prompt_token_, std::max(s - stream_step_, 0.1 * s) / prompt_tokens);
  }
}

int StepTimes::prompt_budget(int streams, Prompts prompts) const {
  if (prompt_token_ <= 0) return streams > 0 ? 4 * kLeast : INT_MAX;
  double allowed = streams > 0 ? (kStall - 1) * stream_step_ : kQuietSeconds;
  if (prompts == Prompts::backlog) allowed = std::max(allowed, kBacklogSeconds);
  if (prompts == Prompts::critical) allowed = std::max(allowed, kCriticalSeconds);
  const double tokens = allowed / prompt_token_;
  return static_cast<int>(std::clamp(tokens, static_cast<double>(kLeast), 1e6));
}

}  // namespace skep::engine
