#pragma once
// How a protocol says what tasks say: the bytes for each event of a stream, and the body of a whole answer. Pure:
// task_answer.h does the sending. A request may have several choices (OpenAI's n); they are numbered from 0.

#include <string>
#include <string_view>
#include <vector>

#include "agent/task.h"
#include "api/api_error.h"

namespace skep::api::wire {

// One finished choice of an answer that is not streamed.
struct Answer {
  agent::TaskResult result;
  std::vector<engine::TokenLogprob> logprobs;  // of all its tokens, when asked for
};

class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;

  [[nodiscard]] virtual ErrorStyle error_style() const = 0;
  [[nodiscard]] virtual std::string whole(const std::vector<Answer>& answers) = 0;  // one per choice, in order

  // A stream, in this order: started() (perhaps twice, after a retry), then delta() and finished() of the choices
  // mixed, then end(). broken() ends it early. Each returns bytes to send, possibly none.
  [[nodiscard]] virtual std::string_view stream_type() const = 0;  // Content-Type
  virtual std::string started(int /*choice*/, const agent::TaskStarted&) { return {}; }
  [[nodiscard]] virtual std::string delta(int choice, const language::Delta& delta) = 0;
  [[nodiscard]] virtual std::string finished(int choice, const agent::TaskResult& result) = 0;
  [[nodiscard]] virtual std::string end() = 0;
  [[nodiscard]] virtual std::string broken(const ApiError& error) = 0;
  // A sign of life that clients skip.
  [[nodiscard]] virtual std::string_view ping() const = 0;
};

// A server-sent event. `name` is left out when empty. `data` must hold no newline (JSON text does not).
std::string sse_event(std::string_view name, std::string_view data);
inline constexpr std::string_view sse_ping = ": ping\n\n";
// NDJSON knows no comments, but JSON allows white space before a value.
inline constexpr std::string_view ndjson_ping = " ";

}  // namespace skep::api::wire
