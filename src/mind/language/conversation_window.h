#pragma once
// One conversation that is longer than its model's context: which of its messages stand in the prompt, and what stands
// for the others. Pure; agent/context_keeper.h has the effects.
//
//   system messages │ summary 1 │ summary 2 │ … │ messages not summarised … │ recalled │ the last message
//
// Summaries are only appended, so that the prompt's beginning stays the same from turn to turn and its KV cells with
// it. When they have grown to a quarter of the budget, all but the newest are made one: the beginning changes once, and
// rarely. A tool call and its results go together. The last messages are never summarised.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mind/language/request.h"

namespace skep::language {

struct WindowOptions {
  double summarise_at = 0.8;  // of the budget: from here on the older half is summarised
  size_t keep_last = 3;       // messages that always stay
  size_t recalled = 5;        // messages of those summarised that are brought back for the question at hand
  double summaries = 0.25;    // of the budget: more is made one
};

class ConversationWindow {
 public:
  explicit ConversationWindow(WindowOptions options = {}) : options_(options) {}

  // Whether these messages go on from what was summarised: their beginning is the same, word for word.
  [[nodiscard]] bool continues(const std::vector<Message>& messages) const;
  [[nodiscard]] bool has_summaries() const { return !summaries_.empty(); }

  // What goes to the model. `messages` are all of them, as the client sends them; continues(messages).
  [[nodiscard]] std::vector<Message> lay_out(const std::vector<Message>& messages,
                                             const std::vector<std::string>& recalled) const;

  struct Range {
    size_t begin = 0, end = 0;  // of `messages`
    friend bool operator==(const Range&, const Range&) = default;
  };
  // The older half, by `tokens` of each message, of what is not summarised and may be; nullopt: nothing may be.
  [[nodiscard]] std::optional<Range> next_cut(const std::vector<Message>& messages,
                                              const std::vector<int>& tokens) const;
  // `range` was next_cut()'s for messages that began as these do.
  void add_summary(const std::vector<Message>& messages, Range range, std::string summary);

  // The summaries that are to become one, once they take `tokens` of a budget; empty: not yet.
  [[nodiscard]] std::vector<std::string> too_many_summaries(const std::vector<int>& tokens, int budget) const;
  void merge_summaries(size_t count, std::string into);
  [[nodiscard]] const std::vector<std::string>& summaries() const { return summaries_; }

 private:
  [[nodiscard]] static size_t head_of(const std::vector<Message>& messages);  // leading system messages

  WindowOptions options_;
  std::vector<std::string> summaries_;  // the oldest first
  size_t covered_ = 0;                  // messages after the head that they stand for
  uint64_t covered_hash_ = 0;           // of those
};

// The text of messages as it is summarised and kept: "user: …".
std::string transcript(const std::vector<Message>& messages, ConversationWindow::Range range);

// Without a model that could summarise: the beginnings of the messages, so that something says what was there.
std::string extract(const std::vector<Message>& messages, ConversationWindow::Range range, size_t bytes);

}  // namespace skep::language
