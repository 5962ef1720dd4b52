#pragma once
// Chat completions as OpenAI's clients read them: {"object":"chat.completion"}, or chunks as server-sent events with
// the role in the first delta, an empty delta with the finish reason, the usage chunk only on request, then [DONE].

#include <boost/json/fwd.hpp>

#include "api/wire/answer_format.h"

namespace skep::api::wire {

struct OpenAiChatFrame {
  std::string id;       // "chatcmpl-…"
  int64_t created = 0;  // Unix seconds
  std::string model;    // as requested; replaced by the one that answers, once known
  int choices = 1;
  bool include_usage = false;
  bool logprobs = false;
};

// How each whole answer begins; what follows is the same whenever the same is answered.
std::string openai_chat_beginning(std::string_view id, int64_t created);

class OpenAiChatFormat final : public AnswerFormat {
 public:
  explicit OpenAiChatFormat(OpenAiChatFrame frame);

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
  std::string chunk(int choice, boost::json::object delta, const char* finish_reason,
                    const std::vector<engine::TokenLogprob>* logprobs);
  std::string role(int choice);  // the first chunk of a choice; nothing if it was sent

  OpenAiChatFrame frame_;
  bool model_known_ = false;
  std::vector<bool> role_sent_;
  std::vector<engine::Usage> usages_;
};

// An assistant's message with everything that it may hold.
boost::json::object openai_message(const language::Message& message);

}  // namespace skep::api::wire
