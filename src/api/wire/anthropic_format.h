#pragma once
// Messages as Anthropic's clients read them. A stream opens and closes content blocks, one at a time:
//
//   message_start, { content_block_start, content_block_delta*, content_block_stop }*, message_delta, message_stop

#include <boost/json/fwd.hpp>

#include "api/wire/answer_format.h"

namespace skep::api::wire {

class AnthropicFormat final : public AnswerFormat {
 public:
  AnthropicFormat(std::string id, std::string model) : id_(std::move(id)), model_(std::move(model)) {}

  [[nodiscard]] ErrorStyle error_style() const override { return ErrorStyle::anthropic; }
  [[nodiscard]] std::string whole(const std::vector<Answer>& answers) override;
  [[nodiscard]] std::string_view stream_type() const override { return "text/event-stream"; }
  std::string started(int choice, const agent::TaskStarted& started) override;
  [[nodiscard]] std::string delta(int choice, const language::Delta& delta) override;
  [[nodiscard]] std::string finished(int choice, const agent::TaskResult& result) override;
  [[nodiscard]] std::string end() override { return {}; }
  [[nodiscard]] std::string broken(const ApiError& error) override;
  [[nodiscard]] std::string_view ping() const override { return sse_ping; }

 private:
  enum class Block { none, thinking, text, tool };

  std::string begin();
  std::string open(Block kind, boost::json::object block);
  std::string close();
  std::string block_delta(boost::json::object delta) const;

  std::string id_, model_;
  bool model_known_ = false, begun_ = false;
  Block block_ = Block::none;  // the one that is open
  int index_ = -1;             // of the last block
  int call_ = -1;              // whose arguments the open tool block takes
};

}  // namespace skep::api::wire
