#pragma once
// Reads a model's answer as it streams and parts it into content, reasoning and tool calls, whatever markup the family
// uses:
//     <think>…</think>                                     reasoning
//     <tool_call>{"name": …, "arguments": {…}}</tool_call>  Hermes, Qwen
//     {"name": …, "parameters": {…}}                        Llama 3: the whole message, several joined by ';'
//     <|python_tag|>{…}                                     Llama 3, the same after a mark
//     {"name": …, "arguments": {…}}                         plain JSON under a grammar (AnswerFormat::call_only)
// Text is handed on as soon as it is certain not to be markup. A call is handed on when it is complete and valid; under
// a grammar, where it can't become invalid, its arguments stream. What looks like a call and is none is content,
// unchanged. However the text is cut into pieces, the joined result is the same.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mind/language/answer_format.h"
#include "mind/language/json_object_scanner.h"
#include "mind/language/request.h"

namespace skep::language {

class AnswerParser {
 public:
  // Held back at most; longer markup is content.
  static constexpr size_t kLongestMarkup = size_t{1} << 20;
  static constexpr int kMostCalls = 64;

  explicit AnswerParser(AnswerFormat format);

  Delta feed(std::string_view text);
  Delta finish();  // once, at the end: what was held back

  [[nodiscard]] int calls() const { return calls_; }

 private:
  enum class State {
    start,      // nothing but white space, reasoning and calls so far: a bare call may come
    reasoning,  // inside <think>
    content,
    call,       // after <tool_call> or <|python_tag|>, or at a '{' at the start
    only_call,  // AnswerFormat::call_only: before the arguments
    arguments,  // … inside them
    after,      // … after them: only the closing brace is left
    plain,      // nothing is markup any more
  };

  // Each consumes some of pending_ and returns true, or needs more text. With `last` no more will come.
  bool step(Delta& out, bool last);
  bool step_start(Delta& out, bool last);
  bool step_reasoning(Delta& out, bool last);
  bool step_content(Delta& out, bool last);
  bool step_call(Delta& out, bool last);
  bool step_only_call(Delta& out, bool last);
  bool step_arguments(Delta& out);

  bool take_call(Delta& out, std::string_view json);
  void give_up_call(Delta& out, size_t bytes);
  void enter_call(std::string opening);
  [[nodiscard]] bool may_begin_bare_call() const;
  [[nodiscard]] std::string call_id(int index) const;

  AnswerFormat format_;
  State state_;
  std::string pending_;        // read, not yet handed on
  std::string opening_;        // what was dropped before the call that is read: white space and its mark
  JsonObjectScanner scanner_;  // of the call's object in pending_
  int calls_ = 0;
  bool after_markup_ = false;  // white space that follows is not part of the content
  bool reasoning_began_ = false;
};

}  // namespace skep::language
