#pragma once
// Answers of /api/chat and /api/generate: one JSON object a line, the last with `done` and the figures (durations in
// nanoseconds). Tool calls come whole, their arguments as an object.

#include <boost/json/fwd.hpp>
#include <functional>

#include "api/wire/answer_format.h"

namespace skep::api::wire {

struct OllamaFrame {
  enum class Kind { chat, generate } kind = Kind::chat;
  std::string model;               // as requested
  std::function<WallTime()> wall;  // for created_at
  bool logprobs = false;
  std::vector<language::Message> conversation;  // of generate; empty: the answer has no context
};

class OllamaFormat final : public AnswerFormat {
 public:
  explicit OllamaFormat(OllamaFrame frame) : frame_(std::move(frame)) {}

  [[nodiscard]] ErrorStyle error_style() const override { return ErrorStyle::ollama; }
  [[nodiscard]] std::string whole(const std::vector<Answer>& answers) override;
  [[nodiscard]] std::string_view stream_type() const override { return "application/x-ndjson"; }
  [[nodiscard]] std::string delta(int choice, const language::Delta& delta) override;
  [[nodiscard]] std::string finished(int choice, const agent::TaskResult& result) override;
  [[nodiscard]] std::string end() override { return {}; }
  [[nodiscard]] std::string broken(const ApiError& error) override;
  [[nodiscard]] std::string_view ping() const override { return ndjson_ping; }

  // The answer to a request that only loads or unloads the model.
  [[nodiscard]] std::string loaded(bool unloaded) const;

 private:
  [[nodiscard]] boost::json::object piece(const std::string& content, const std::string& thinking) const;
  void add_figures(boost::json::object& value, const agent::TaskResult& result) const;

  OllamaFrame frame_;
};

}  // namespace skep::api::wire
