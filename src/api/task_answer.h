#pragma once
// Answers an exchange with what tasks say: submits one task per choice, and sends what the format makes of their
// events. Cancels them when the client leaves, and the others when one fails.
//
// A stream's 200 is committed late: with the first delta, with the end, or when a ping is due while a model loads.
// Whatever fails before that gets a status of its own.

#include <memory>
#include <optional>
#include <vector>

#include "api/api_context.h"
#include "api/http_message.h"
#include "api/wire/answer_format.h"
#include "api/wire/task_fields.h"

namespace skep::api {

class TaskAnswer : public std::enable_shared_from_this<TaskAnswer> {
 public:
  // `whole`, if any, is shown the body of an answer of one choice that is not streamed, while the task's end is heard.
  using Whole = std::function<void(agent::TaskId task, std::string_view body)>;
  static void start(ApiContext& context, std::shared_ptr<Exchange> exchange, wire::Ask ask,
                    std::unique_ptr<wire::AnswerFormat> format, Whole whole = {});

  TaskAnswer(ApiContext& context, std::shared_ptr<Exchange> exchange, bool stream,
             std::unique_ptr<wire::AnswerFormat> format);

  // On behalf of somebody else: the client gets an error.
  void cancel_by(const std::string& who);

 private:
  class Choice;

  void submit(wire::Ask ask);
  void started(size_t choice, const agent::TaskStarted& started);
  void delta(size_t choice, const language::Delta& delta);
  void finished(size_t choice, const agent::TaskResult& result);
  void failed(const ApiError& error);

  void commit();
  void send(std::string_view bytes);
  void arm_ping();
  void cancel_tasks();
  void close();  // nothing more is sent or heard
  [[nodiscard]] Headers headers() const;

  ApiContext& context_;
  std::shared_ptr<Exchange> exchange_;
  std::unique_ptr<wire::AnswerFormat> format_;
  bool stream_;
  Whole whole_;
  std::vector<agent::TaskId> tasks_;  // by choice
  std::vector<wire::Answer> answers_;
  std::optional<agent::RouteDecision> route_;  // of the first choice that started
  agent::CacheNote cache_;                     // of the same
  size_t unfinished_ = 0;
  bool quiet_ = true;  // nothing was sent since the ping timer was set
  bool closed_ = false;
  TimerId ping_timer_ = TimerId::none;
};

// What an answer's headers say of how it came about.
Headers answer_headers(std::string tasks, const agent::RouteDecision* route, const agent::CacheNote& cache);

}  // namespace skep::api
