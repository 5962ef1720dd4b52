#pragma once
// Text completions as OpenAI's clients read them.

#include <boost/json/fwd.hpp>

#include "api/wire/answer_format.h"

namespace skep::api::wire {

struct OpenAiCompletionFrame {
  std::string id;       // "cmpl-…"
  int64_t created = 0;  // Unix seconds
  std::string model;
  bool include_usage = false;
  bool logprobs = false;
  std::vector<std::string> echo;  // by choice; empty: none
};

class OpenAiCompletionFormat final : public AnswerFormat {
 public:
  explicit OpenAiCompletionFormat(OpenAiCompletionFrame frame) : frame_(std::move(frame)) {}

  [[nodiscard]] ErrorStyle error_style() const override { return ErrorStyle::openai; }
  [[nodiscard]] std::string whole(const std::vector<Answer>& answers) override;
  [[nodiscard]] std::string_view stream_type() const override { return "text/event-stream"; }
  std::string started(int choice, const agent::TaskStarted& started) override;
  [[nodiscard]] std::string delta(int choice, const language::Delta& delta) override;
  [[nodiscard]] std::string finished(int choice, const agent::TaskResult& result) override;
  [[nodiscard]] std::string end() override;
  [[nodiscard]] std::string broken(const ApiError& error) override;
  [[nodiscard]] std::string_view ping() const override { return sse_ping; }

 private:
  std::string chunk(boost::json::array choices, const engine::Usage* usage);
  std::string take_echo(int choice);

  OpenAiCompletionFrame frame_;
  bool model_known_ = false;
  std::vector<engine::Usage> usages_;
};

}  // namespace skep::api::wire
