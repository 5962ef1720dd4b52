#pragma once
// How likely a model finds a text, as the daemon asks and the worker answers.

#include <string>
#include <vector>

#include "engine/messages.h"

namespace skep::engine {

// Evaluated anew: nothing is taken over from what others evaluated.
struct Score {
  std::string text;         // fewer tokens than the context has
  bool add_special = true;  // add BOS etc., so that the first token of the text is judged too
  int priority = 3;         // as in Generate
  friend bool operator==(const Score&, const Score&) = default;
};

struct Scores {
  // Each token of the text, with ln P(token | all before it); 0 for the first where nothing comes before it. Their
  // texts make up the text (some vocabularies put a space before the first).
  std::vector<TokenLogprob> tokens;
  friend bool operator==(const Scores&, const Scores&) = default;
};

}  // namespace skep::engine
