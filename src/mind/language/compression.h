#pragma once
// Makes prompts shorter by leaving out what tells least. Nothing is ever rewritten: what is left are pieces of the
// original in their order, and what is protected (protected_spans.h) is left byte for byte.
//
//   rules        courtesy, filler words, doubled sentences, space; more of them the smaller the tier
//   information  words whose surprise -ln P(word | all before) is least, by a model's own token probabilities, until
//   the
//                wanted size is reached (Selective Context, Li et al. 2023; LLMLingua, Jiang et al. 2023)
//
// Pure: the probabilities come from whoever has a model (engine::Score).

#include <string>
#include <string_view>
#include <vector>

#include "engine/messages.h"
#include "mind/language/tier.h"

namespace skep::language {

// A text as pieces that make it up; those that were cut say why.
struct CompressedPiece {
  std::string text;
  const char* cut = nullptr;  // nullptr: kept; else "courtesy", "filler", "repeated", "space", "predictable", "article"
  friend bool operator==(const CompressedPiece&, const CompressedPiece&) = default;
};

struct Compressed {
  std::vector<CompressedPiece> pieces;
  int tokens_before = 0, tokens_after = 0;  // as the caller counts them; estimates without a model
  bool reached = true;                      // the wanted size; false: what is protected is larger
  [[nodiscard]] std::string text() const;   // what is kept
};

// deep: space and doubled sentences; balanced: also courtesy and filler; fast: also articles. Token counts are
// estimates.
Compressed compress_by_rules(std::string_view text, Tier tier);

// `tokens` are those of the text (engine::Scores), `keep` the share of them that may stay, over 0 and at most 1.
// Text and tokens must agree up to space at the beginning; where they don't, nothing is cut.
Compressed compress_by_information(std::string_view text, const std::vector<engine::TokenLogprob>& tokens, double keep);

}  // namespace skep::language
