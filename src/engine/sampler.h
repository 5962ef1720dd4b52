#pragma once
// Chooses the next token from logits: logit bias, penalties, then greedy, or top-k → top-p → min-p → temperature →
// draw, in llama.cpp's order and with its formulas, so that settings mean what users know from there. Ours because it
// runs once per token over the whole vocabulary: greedy is one pass without a copy, and a draw sorts only what can be
// drawn. A grammar is asked about the chosen token first and about more only when it says no; rejected tokens are drawn
// from no more, which leaves the distribution what it would be with all forbidden ones removed beforehand.

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/random.h"
#include "engine/messages.h"
#include "engine/vocabulary.h"

namespace skep::engine {

class Sampler {
 public:
  // `suppressed`: tokens that are never chosen (end-of-generation ones under ignore_eos).
  Sampler(Sampling sampling, uint32_t seed, std::span<const Token> suppressed);

  // Nothing: the grammar allows no token at all. The choice is not accepted yet.
  std::optional<Token> sample(std::span<const float> logits, Grammar* grammar);

  // `token` is part of the text now, for the penalties. Prompt tokens too.
  void accept(Token token);

  // `token` was chosen and accepted by an earlier sampler of the same settings and seed: what follows is drawn as
  // there.
  void replay(Token token);

  [[nodiscard]] uint32_t seed() const { return seed_; }

 private:
  struct Candidate {
    float logit;
    Token token;
  };
  [[nodiscard]] bool adjusts() const;
  std::span<const float> adjusted(std::span<const float> logits);
  std::optional<Token> choose(std::span<const float> logits);
  Token draw(std::span<const float> logits, float highest);
  void collect(std::span<const float> logits, float highest);
  std::optional<Token> choose_allowed(Grammar& grammar);

  Sampling sampling_;
  uint32_t seed_;
  uint64_t chosen_ = 0;  // tokens so far: each has random numbers of its own, however many the grammar made it draw
  Random random_;
  std::vector<Token> suppressed_;
  std::deque<Token> recent_;               // the last penalty_last_n tokens
  std::unordered_map<Token, int> counts_;  // of recent_
  std::vector<float> scratch_;             // adjusted logits
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
};

// log softmax of `token` over the raw logits and of the `top` most likely tokens, best first.
struct Logprobs {
  float logprob = 0;
  std::vector<std::pair<Token, float>> top;
};
Logprobs logprobs_of(std::span<const float> logits, Token token, int top);

}  // namespace skep::engine
