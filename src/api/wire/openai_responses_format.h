#pragma once
// Responses as OpenAI's clients read them. A stream is a sequence of numbered events; the output is a list of items
// (reasoning, message, function_call), of which one is open at a time:
//
//   response.created, response.in_progress
//   for every item:  output_item.added
//     message:       content_part.added, output_text.delta*, output_text.done, content_part.done
//     reasoning:     content_part.added, reasoning_text.delta*, reasoning_text.done, content_part.done
//     function_call: function_call_arguments.delta*, function_call_arguments.done
//                    output_item.done
//   response.completed | response.incomplete | response.failed

#include <boost/json.hpp>

#include "api/wire/answer_format.h"

namespace skep::api::wire {

struct OpenAiResponsesFrame {
  std::string id;       // "resp-…"
  int64_t created = 0;  // Unix seconds
  std::string model;
  boost::json::object echo;  // openai_responses_echo()
  bool logprobs = false;
};

class OpenAiResponsesFormat final : public AnswerFormat {
 public:
  explicit OpenAiResponsesFormat(OpenAiResponsesFrame frame) : frame_(std::move(frame)) {}

  [[nodiscard]] ErrorStyle error_style() const override { return ErrorStyle::openai; }
  [[nodiscard]] std::string whole(const std::vector<Answer>& answers) override;
  [[nodiscard]] std::string_view stream_type() const override { return "text/event-stream"; }
  std::string started(int choice, const agent::TaskStarted& started) override;
  [[nodiscard]] std::string delta(int choice, const language::Delta& delta) override;
  [[nodiscard]] std::string finished(int choice, const agent::TaskResult& result) override;
  [[nodiscard]] std::string end() override { return {}; }
  [[nodiscard]] std::string broken(const ApiError& error) override;
  [[nodiscard]] std::string_view ping() const override { return sse_ping; }

 private:
  enum class Kind { reasoning, message, call };
  struct Item {
    Kind kind;
    std::string id;
    std::string text;  // of a call: its arguments
    std::string call_id, name;
    int call_index = 0;
    boost::json::array logprobs;
  };

  std::string event(const char* type, boost::json::object fields);
  std::string begin();  // created and in_progress; nothing if they were sent
  std::string open(Kind kind, const language::Delta::ToolCallDelta* call = nullptr);
  std::string add_text(Kind kind, const std::string& text, boost::json::array logprobs);
  std::string add_call(const language::Delta::ToolCallDelta& call);
  std::string close_item();
  [[nodiscard]] bool is_open(Kind kind) const { return open_ && items_.back().kind == kind; }
  [[nodiscard]] boost::json::object item_value(const Item& item, bool complete) const;
  [[nodiscard]] static boost::json::object part_value(const Item& item, bool complete);
  [[nodiscard]] boost::json::object response(const char* status) const;
  void settle(boost::json::object& response, const agent::TaskResult& result) const;
  std::string new_item_id(Kind kind);

  OpenAiResponsesFrame frame_;
  std::vector<Item> items_;  // the last one may be open
  bool open_ = false;
  bool begun_ = false;
  bool model_known_ = false;
  int sequence_ = 0;
};

}  // namespace skep::api::wire
