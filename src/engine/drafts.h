#pragma once
// Guesses at what comes next, without a second model: the last tokens of a sequence are looked up in its own text and
// in what others of the same scope generated lately (agents answer in the same formats), and what followed there is the
// draft. All of a draft is evaluated in one step; the sampler then chooses at each of its positions as it would
// without, and the first that it chooses otherwise ends it. So answers are the same as without drafts, only fewer
// steps.
//
// Per sequence, whether that pays is measured: a draft token costs part of a step, a right one saves a whole step of
// its stream.

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
  double acceptance_ = 0.6;  // share of drafted tokens that were right, moving average; begins with hope
  int refused_ = 0;
};

class Drafts {
 public:
  static constexpr int kKey = 3;      // tokens that must match
  static constexpr int kLongest = 8;  // tokens of a draft
  static constexpr size_t kKnown =
      1U << 13U;  // tokens of others' answers that are remembered, twice, all scopes together

  // What may follow `tokens`, at most `most`; empty: no idea.
  std::vector<Token> guess(const std::string& scope, std::span<const Token> tokens, int most);

  // An answer is complete: others may repeat it.
  void learn(const std::string& scope, std::span<const Token> answer);

  void count(int drafted, int accepted) {
    drafted_ += drafted;
    accepted_ += accepted;
  }
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

  // What others' answers say, up to where they part; `agreed` of its first token.
  std::vector<Token> from_others(uint64_t scope, std::span<const Token> last, int most, int& agreed) const;

  std::unordered_map<uint64_t, Following> following_;  // of this generation
  std::unordered_map<uint64_t, Following> earlier_;    // and the one before: what is in neither is forgotten
  int64_t drafted_ = 0;
  int64_t accepted_ = 0;
};

}  // namespace skep::engine
