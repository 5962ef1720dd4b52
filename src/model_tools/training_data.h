#pragma once
// What a model is trained on, as windows of tokens: a text as it is, or a task file (tasks.h) as the conversations that
// it stands for, written with the model's own chat template. Of a text every token is learnt, of a conversation the
// answer's: what people ask is not the model's to say, and it is most of the text.
//
// A window of conversations holds whole ones, the first at position 0, where they stand when somebody asks; what is
// left of it is filled with a token that teaches nothing. One that is longer than a window loses its end.

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
    return {tokens_.data() + i * stride_, static_cast<size_t>(length_) + 1};
  }
  // For each but the window's first token, which is never learnt, whether it is. Empty: all.
  [[nodiscard]] std::span<const uint8_t> learnt(size_t i) const {
    if (learnt_.empty()) return {};
    return {learnt_.data() + i * stride_ + 1, static_cast<size_t>(length_)};
  }

 private:
  Status add_tasks(const LlamaSession& session, const std::string& path, uint64_t seed);
  std::vector<Token> tokens_;
  std::vector<uint8_t> learnt_;  // by token; empty: all
  size_t stride_ = 0;            // tokens from window to window
  size_t windows_ = 0, held_out_ = 0;
  int length_ = 0;
};

// A conversation as the model's chat template writes it, up to where the model speaks, and what it should say from
// there, its end of turn included. unsupported when libllama does not know the template.
struct ConversationText {
  std::string question, answer;
};
Result<ConversationText> conversation_text(const LlamaSession& session, const TaskExample& task);

// The order in which epoch `epoch` goes through `count` windows: a permutation, the same for the same seed.
std::vector<uint32_t> window_order(size_t count, uint64_t seed, int64_t epoch);

// The learning rate of a step: up in a line over `warm_up` steps, then down along a cosine to a tenth.
double learning_rate_at(int64_t step, int64_t steps, int64_t warm_up, double highest);

}  // namespace skep::model_tools
