#pragma once
// A task's course as the control API tells it: the result as one object, or the server-sent events started, delta,
// finished and failed.

#include "api/wire/answer_format.h"

namespace skep::api::wire {

class ControlTaskFormat final : public AnswerFormat {
 public:
  [[nodiscard]] ErrorStyle error_style() const override { return ErrorStyle::control; }
  [[nodiscard]] std::string whole(const std::vector<Answer>& answers) override;
  [[nodiscard]] std::string_view stream_type() const override { return "text/event-stream"; }
  std::string started(int choice, const agent::TaskStarted& started) override;
  [[nodiscard]] std::string delta(int choice, const language::Delta& delta) override;
  [[nodiscard]] std::string finished(int choice, const agent::TaskResult& result) override;
  [[nodiscard]] std::string end() override { return {}; }
  [[nodiscard]] std::string broken(const ApiError& error) override;
  [[nodiscard]] std::string_view ping() const override { return sse_ping; }
};

}  // namespace skep::api::wire
