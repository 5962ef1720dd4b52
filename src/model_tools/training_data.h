#pragma once
// What a model is trained on, as windows of tokens: a text as it is, or a task file (tasks.h) as the conversations that
// it stands for, written with the model's own chat template, one after the other.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "model_tools/llama_session.h"
#include "model_tools/tasks.h"

namespace skep::model_tools {

class TrainingData {
 public:
  // Windows of `length` tokens, each with the token that follows it. The last `validation` (0..0.5) of them, at least
  // one, are held out. `seed` shuffles the tasks. invalid_argument: too little data for two windows, or tasks for a
  // model without a chat template.
  static Result<TrainingData> load(const LlamaSession& session, const std::string& path, int length, double validation,
                                   uint64_t seed);

  [[nodiscard]] size_t training_windows() const { return windows_ - held_out_; }
  [[nodiscard]] size_t validation_windows() const { return held_out_; }
  [[nodiscard]] int length() const { return length_; }
  // length() + 1 tokens; those held out come after the others.
  [[nodiscard]] std::span<const Token> window(size_t i) const {
    return {tokens_.data() + i * static_cast<size_t>(length_), static_cast<size_t>(length_) + 1};
  }

 private:
  std::vector<Token> tokens_;
  size_t windows_ = 0, held_out_ = 0;
  int length_ = 0;
};

// A conversation and its answer as the model's chat template writes them; unsupported when libllama does not know it.
Result<std::string> conversation_text(const LlamaSession& session, const TaskExample& task);

// The order in which epoch `epoch` goes through `count` windows: a permutation, the same for the same seed.
std::vector<uint32_t> window_order(size_t count, uint64_t seed, int64_t epoch);

// The learning rate of a step: up in a line over `warm_up` steps, then down along a cosine to a tenth.
double learning_rate_at(int64_t step, int64_t steps, int64_t warm_up, double highest);

}  // namespace skep::model_tools
