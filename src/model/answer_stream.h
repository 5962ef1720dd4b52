#pragma once
// Reads one streamed answer of a server elsewhere: bytes from the network in, pieces of text out. Input is not trusted.

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/messages.h"
#include "model/http_dialect.h"

namespace skep::model {

class AnswerStream {
 public:
  explicit AnswerStream(HttpDialect dialect, bool raw_prompt);
  ~AnswerStream();
  AnswerStream(AnswerStream&&) noexcept;
  AnswerStream& operator=(AnswerStream&&) noexcept;

  // Pieces that are complete with these bytes. An Error: the server's own, or the bytes make no sense (corrupt).
  // Reasoning that the server gives in a field of its own is put between <think> and </think>, as in plain text.
  Result<std::vector<engine::Piece>> feed(std::string_view bytes);
  // Set when the answer is whole.
  [[nodiscard]] const std::optional<engine::Finished>& finished() const;
  // The stream ended: the answer, or the error that it was cut short.
  Result<engine::Finished> end();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skep::model
