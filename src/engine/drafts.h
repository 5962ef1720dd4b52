#pragma once
// Guesses at what comes next, without a second model: what a grammar leaves no choice about; else the last tokens of a
// sequence are looked up in its own text and in what others of the same scope generated lately (agents answer in the
// same formats), and what followed there is the draft. All of a draft is evaluated in one step; the sampler then
// chooses at each of its positions as it would without, and the first that it chooses otherwise ends it. So answers are
// the same as without drafts, only fewer steps.
//
// A draft token costs part of a step, a right one saves a whole step of its stream. How often a guess comes true is
// learned for each kind of ground that there is for one, and a draft goes on for as long as all of it is likelier to be
// right than its last token is dear. Per sequence, whether that pays is measured, too.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/messages.h"

namespace skep::engine {

// A sequence's own luck with drafts.
class DraftLuck {
 public:
  void record(int drafted, int accepted);
  // Are drafts expected to pay, where a token of a draft costs `cost` of what an accepted one saves? Tries again now
  // and then after it said no.
  bool pays(double cost);
  [[nodiscard]] double acceptance() const { return acceptance_; }

 private:
  double acceptance_ = 1;  // share of drafted tokens that were right, moving average; begins with hope
  int refused_ = 0;
};

// Why a token is guessed: others' answers agreed on it so often, or so many tokens before it stand in the own text,
// too.
using Ground = uint8_t;

class Drafts {
 public:
  static constexpr int kKey = 3;      // tokens that must match
  static constexpr int kLongest = 8;  // tokens of a draft
  static constexpr size_t kKnown =
      1U << 13U;  // tokens of others' answers that are remembered, twice, all scopes together

  struct Guess {
    std::vector<Token> tokens;
    std::vector<Ground> grounds;  // of each
  };
  // What may follow `tokens`, at most `most`; empty: no idea, or none that is worth a token's cost (of a step of the
  // stream that it may save). `forced`: the tokens of the text that a grammar lets follow, if it is just one.
  Guess guess(const std::string& scope, std::span<const Token> tokens, std::span<const Token> forced, int most,
              double cost);

  // The first `accepted` of a guess were chosen.
  void settle(std::span<const Ground> grounds, int accepted);

  // An answer is complete: others may repeat it.
  void learn(const std::string& scope, std::span<const Token> answer);

  [[nodiscard]] size_t known() const { return following_.size() + earlier_.size(); }
  [[nodiscard]] int64_t drafted() const { return drafted_; }
  [[nodiscard]] int64_t accepted() const { return accepted_; }

 private:
  static uint64_t key_of(uint64_t scope, std::span<const Token> last);
  // What followed a key the last time, and how sure that is: 0 after the first time, one more for each time that the
  // same followed again, negative after something else did. Where answers part, a draft ends.
  struct Following {
    Token token = 0;
    int agreed = 0;
  };
  static constexpr int kAgreed = 4, kParted = -2;

  // Agreed 0 to kAgreed times; by matching tokens; forced, and forced but perhaps one with what follows.
  static constexpr size_t kGrounds = kAgreed + 1 + 5 + 2;
  static constexpr Ground kForced = kAgreed + 6, kForcedLast = kForced + 1;
  static Ground matching(size_t tokens);

  // What others' answers say, up to where they part; and what followed in the own text where most of its last tokens
  // stood before, the latest of equals.
  Guess from_others(uint64_t scope, std::span<const Token> last, int most) const;
  static Guess from_own(std::span<const Token> tokens, int most);
  // Up to where it is no longer worth it.
  void cut(Guess& guess, double cost);

  // How often a token was right, by its ground, moving averages; what comes before the first is a guess at guesses.
  std::array<double, kGrounds> chance_{0.4, 0.7, 0.8, 0.9, 0.9, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.7};
  std::unordered_map<uint64_t, Following> following_;  // of this generation
  std::unordered_map<uint64_t, Following> earlier_;    // and the one before: what is in neither is forgotten
  int64_t drafted_ = 0;
  int64_t accepted_ = 0;
};

}  // namespace skep::engine
