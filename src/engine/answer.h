#pragma once
// From generated tokens to what the client sees: bytes → whole characters → what is no stop string → pieces, with the
// log probabilities of the tokens that they stand for.

#include <optional>
#include <string>
#include <vector>

#include "engine/messages.h"
#include "engine/stop_detector.h"
#include "engine/utf8_stream.h"

namespace skep::engine {

class Answer {
 public:
  explicit Answer(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // One more token. A piece, where there is text to show.
  std::optional<Piece> add(Token token, std::string_view bytes, std::optional<TokenLogprob> logprob);
  // The end: what was held back, if anything.
  std::optional<Piece> finish();

  [[nodiscard]] bool stopped() const { return stops_.stopped(); }  // a stop string is complete
  [[nodiscard]] const std::string& text() const { return text_; }  // all that was shown

 private:
  std::optional<Piece> piece(std::string text, bool last);

  Utf8Stream characters_;
  StopDetector stops_;
  std::string text_;
  Piece pending_;  // tokens and log probabilities since the last piece
};

}  // namespace skep::engine
