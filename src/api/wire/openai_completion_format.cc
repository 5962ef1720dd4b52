#include "api/wire/openai_completion_format.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"
#include "api/wire/openai_usage.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

// The legacy shape: parallel arrays. `offset` is where the first token starts in the text.
json::value legacy_logprobs(const std::vector<engine::TokenLogprob>& tokens, size_t offset) {
  json::array texts, logprobs, tops, offsets;
  for (const auto& token : tokens) {
    texts.emplace_back(valid_utf8(token.text));
    logprobs.emplace_back(token.logprob);
    json::object top;
    for (const auto& [text, logprob] : token.top) top[valid_utf8(text)] = logprob;
    tops.emplace_back(std::move(top));
    offsets.emplace_back(offset);
    offset += token.text.size();
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

}  // namespace

std::string OpenAiCompletionFormat::take_echo(int choice) {
  auto index = static_cast<size_t>(choice);
  return index < frame_.echo.size() ? std::exchange(frame_.echo[index], {}) : std::string();
}

std::string OpenAiCompletionFormat::whole(const std::vector<Answer>& answers) {
  json::array choices;
  std::vector<engine::Usage> usages;
  for (const Answer& answer : answers) {
    std::string text = take_echo(static_cast<int>(choices.size()));
    json::value logprobs = nullptr;
    if (frame_.logprobs) logprobs = legacy_logprobs(answer.logprobs, text.size());
    text += answer.result.message.content;
    choices.push_back({{"index", choices.size()},
                       {"text", text},
                       {"logprobs", std::move(logprobs)},
                       {"finish_reason", answer.result.finish_reason}});
    usages.push_back(answer.result.usage);
  }
  if (!answers.empty()) frame_.model = answers.front().result.route.model;
  return to_text(json::object{{"id", frame_.id},
                              {"object", "text_completion"},
                              {"created", frame_.created},
                              {"model", frame_.model},
                              {"choices", std::move(choices)},
                              {"usage", openai_usage(total_usage(usages))}});
}

std::string OpenAiCompletionFormat::started(int /*choice*/, const agent::TaskStarted& started) {
  if (!model_known_) frame_.model = started.route.model;
  model_known_ = true;
  return {};
}

std::string OpenAiCompletionFormat::chunk(json::array choices, const engine::Usage* usage) {
  json::object value{{"id", frame_.id},
                     {"object", "text_completion"},
                     {"created", frame_.created},
                     {"model", frame_.model},
                     {"choices", std::move(choices)}};
  if (frame_.include_usage) value["usage"] = usage == nullptr ? json::value(nullptr) : openai_usage(*usage);
  return sse_event("", to_text(value));
}

std::string OpenAiCompletionFormat::delta(int choice, const language::Delta& delta) {
  std::string text = take_echo(choice) + delta.content;
  bool with_logprobs = frame_.logprobs && !delta.logprobs.empty();
  if (text.empty() && !with_logprobs) return {};
  json::value logprobs = nullptr;
  if (with_logprobs) logprobs = legacy_logprobs(delta.logprobs, 0);
  return chunk({{{"index", choice}, {"text", text}, {"logprobs", std::move(logprobs)}, {"finish_reason", nullptr}}},
               nullptr);
}

std::string OpenAiCompletionFormat::finished(int choice, const agent::TaskResult& result) {
  usages_.push_back(result.usage);
  return chunk({{{"index", choice},
                 {"text", take_echo(choice)},
                 {"logprobs", nullptr},
                 {"finish_reason", result.finish_reason}}},
               nullptr);
}

std::string OpenAiCompletionFormat::end() {
  std::string events;
  if (frame_.include_usage) {
    engine::Usage usage = total_usage(usages_);
    events = chunk({}, &usage);
  }
  return events + sse_event("", "[DONE]");
}

std::string OpenAiCompletionFormat::broken(const ApiError& error) {
  return sse_event("", error_body(error, ErrorStyle::openai));
}

}  // namespace skep::api::wire
