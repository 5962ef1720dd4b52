#pragma once
// Which tokens go into the next step: a pure decision. Running streams first, one token each (more with a draft), then
// prompts in the order given, as many tokens of them as do not stall the streams for too long.

#include <span>
#include <vector>

#include "base/clock.h"

namespace skep::engine {

// What a sequence could evaluate now.
struct BatchCandidate {
  int tokens = 0;       // not 0
  bool prompt = false;  // may be cut; else all or nothing
};

// How many tokens of each candidate are in the step; in total at most `batch_tokens`, of prompts at most
// `prompt_tokens`. `first` rotates who comes first when the streams alone are too many.
std::vector<int> plan_batch(std::span<const BatchCandidate> candidates, int batch_tokens, int prompt_tokens,
                            size_t first = 0);

// How long steps take, learned while running: fixed + per stream + per prompt token, and from it how many prompt tokens
// fit into a step.
class StepTimes {
 public:
  // Steps with running streams take at most so many times as long as without prompt tokens.
  static constexpr double kStall = 2.5;
  // … but never fewer prompt tokens than these, or prompts starve; a short rest of a prompt goes in whole.
  static constexpr int kLeast = 8;

  void record(int stream_tokens, int prompt_tokens, Duration took);

  // Where more requests wait than there are slots, what counts is that all are done soon, and larger steps cost less
  // per token: streams may then wait so long, if that is more.
  static constexpr double kBacklogSeconds = 0.12;

  // A critical prompt goes first; running streams may then wait so long for their next token.
  static constexpr double kCriticalSeconds = 0.5;

  // What the prompts in a step are.
  enum class Prompts { ordinary, backlog, critical };
  // For a step with so many running streams; without any, a second's worth. While nothing is known a few tokens with
  // streams, and INT_MAX without.
  [[nodiscard]] int prompt_budget(int streams, Prompts prompts = Prompts::ordinary) const;

  // Estimates, 0 while nothing is known.
  [[nodiscard]] double stream_step_seconds() const { return stream_step_; }
  [[nodiscard]] double prompt_token_seconds() const { return prompt_token_; }
  [[nodiscard]] double mean_step_seconds() const { return mean_; }

 private:
  double stream_step_ = 0;   // a step of streams alone, moving average
  double prompt_token_ = 0;  // one more prompt token in a step
  double mean_ = 0;
};

}  // namespace skep::engine
