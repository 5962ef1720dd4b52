#include "engine/answer.h"

#include <utility>

namespace skep::engine {

std::optional<Piece> Answer::add(Token token, std::string_view bytes, std::optional<TokenLogprob> logprob) {
  ++pending_.tokens;
  pending_.ids.push_back(token);
  if (logprob) pending_.logprobs.push_back(std::move(*logprob));
  return piece(stops_.feed(characters_.feed(bytes)), false);
}

std::optional<Piece> Answer::finish() {
  std::string text = stops_.feed(characters_.finish());
  text += stops_.finish();
  return piece(std::move(text), true);
}

std::optional<Piece> Answer::piece(std::string text, bool last) {
  const bool nothing = text.empty() && !(last && pending_.tokens > 0);
  if (nothing) return std::nullopt;
  text_ += text;
  Piece piece = std::exchange(pending_, {});
  piece.text = std::move(text);
  return piece;
}

}  // namespace skep::engine
