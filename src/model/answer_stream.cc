#include "model/answer_stream.h"

#include <boost/json.hpp>
#include <utility>

#include "base/json.h"
#include "model/json_fields.h"
#include "model/stream_parser.h"

namespace skep::model {

namespace json = boost::json;
using json_fields::count_of;
using json_fields::field;
using json_fields::message_of;
using json_fields::number_of;
using json_fields::text_of;

namespace {

std::optional<engine::FinishReason> reason_of(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text == "length" ? engine::FinishReason::length : engine::FinishReason::stop;
}

std::vector<engine::TokenLogprob> logprobs_of(const json::value* choice) {
  std::vector<engine::TokenLogprob> result;
  const json::value* content = field(field(choice, "logprobs"), "content");
  const json::array* list = content == nullptr ? nullptr : content->if_array();
  if (list == nullptr) return result;
  auto read = [](const json::value& from) {
    const json::value* value = field(&from, "logprob");
    boost::system::error_code error;
    double logprob = value == nullptr ? 0 : value->to_number<double>(error);
    return std::pair(text_of(field(&from, "token")), static_cast<float>(error ? 0 : logprob));
  };
  for (const json::value& each : *list) {
    auto [text, logprob] = read(each);
    engine::TokenLogprob token{.text = std::move(text), .logprob = logprob};
    const json::value* top = field(&each, "top_logprobs");
    if (const json::array* others = top == nullptr ? nullptr : top->if_array()) {
      for (const json::value& other : *others) token.top.push_back(read(other));
    }
    result.push_back(std::move(token));
  }
  return result;
}

}  // namespace

struct AnswerStream::State {
  HttpDialect dialect;
  bool raw_prompt;
  SseParser events;
  LineSplitter lines;
  bool reasoning = false;  // inside <think>
  bool done = false;       // nothing more is read
  int pieces = 0;
  std::optional<engine::FinishReason> reason;
  engine::Usage usage;
  Duration prefill{}, decode{};
  std::optional<engine::Finished> finished;
  std::optional<Error> error;

  State(HttpDialect of, bool raw) : dialect(of), raw_prompt(raw) {}

  // Reasoning and content, as one text.
  void say(std::vector<engine::Piece>& out, const std::string& thought, std::string content,
           std::vector<engine::TokenLogprob> logprobs = {}) {
    std::string text;
    if (!thought.empty()) text += (std::exchange(reasoning, true) ? "" : "<think>") + thought;
    if (!content.empty() && std::exchange(reasoning, false)) text += "</think>";
    text += content;
    if (text.empty() && logprobs.empty()) return;
    ++pieces;
    // A server sends a piece per token, or nearly: the exact count comes with the usage.
    out.push_back({.text = std::move(text), .tokens = 1, .logprobs = std::move(logprobs)});
  }

  void close(std::vector<engine::Piece>& out) {
    if (std::exchange(reasoning, false)) out.push_back({.text = "</think>", .tokens = 0});
  }

  bool openai_event(std::string_view data, std::vector<engine::Piece>& out) {
    if (data == "[DONE]") {
      done = true;
      close(out);
      complete();
      return false;
    }
    auto parsed = parse_json(data, "event of the stream");
    if (!parsed) return give_up({ErrorCode::corrupt, parsed.error().message, {}});
    if (field(&*parsed, "error") != nullptr) return give_up({ErrorCode::unavailable, message_of(*parsed), {}});
    if (const json::value* used = field(&*parsed, "usage"); used != nullptr && used->is_object()) {
      usage.prompt_tokens = count_of(field(used, "prompt_tokens"));
      usage.completion_tokens = count_of(field(used, "completion_tokens"));
      usage.cached_tokens = count_of(field(field(used, "prompt_tokens_details"), "cached_tokens"));
    }
    const json::value* choices = field(&*parsed, "choices");
    const json::array* list = choices == nullptr ? nullptr : choices->if_array();
    if (list == nullptr || list->empty()) return true;
    const json::value* choice = &list->front();
    const json::value* delta = field(choice, "delta");
    std::string content = raw_prompt ? text_of(field(choice, "text")) : text_of(field(delta, "content"));
    say(out, text_of(field(delta, "reasoning_content")), std::move(content), logprobs_of(choice));
    if (auto ended = reason_of(text_of(field(choice, "finish_reason")))) reason = ended;
    return true;
  }

  bool ollama_line(std::string_view line, std::vector<engine::Piece>& out) {
    if (line.empty()) return true;
    auto parsed = parse_json(line, "line of the stream");
    if (!parsed) return give_up({ErrorCode::corrupt, parsed.error().message, {}});
    if (field(&*parsed, "error") != nullptr) return give_up({ErrorCode::unavailable, message_of(*parsed), {}});
    const json::value* message = field(&*parsed, "message");
    if (raw_prompt)
      say(out, text_of(field(&*parsed, "thinking")), text_of(field(&*parsed, "response")));
    else
      say(out, text_of(field(message, "thinking")), text_of(field(message, "content")));
    const json::value* is_done = field(&*parsed, "done");
    if (is_done == nullptr || !is_done->is_bool() || !is_done->get_bool()) return true;
    reason = reason_of(text_of(field(&*parsed, "done_reason"))).value_or(engine::FinishReason::stop);
    usage.prompt_tokens = count_of(field(&*parsed, "prompt_eval_count"));
    usage.completion_tokens = count_of(field(&*parsed, "eval_count"));
    prefill = Duration(number_of(field(&*parsed, "prompt_eval_duration")));
    decode = Duration(number_of(field(&*parsed, "eval_duration")));
    done = true;
    close(out);
    complete();
    return false;
  }

  bool give_up(Error why) {
    error = std::move(why);
    done = true;
    return false;
  }

  void complete() {
    if (!reason) {
      error = Error{ErrorCode::unavailable, "the server ended the answer without saying why", {}};
      return;
    }
    if (usage.completion_tokens == 0) usage.completion_tokens = pieces;
    finished = engine::Finished{.reason = *reason, .usage = usage, .prefill = prefill, .decode = decode};
  }
};

AnswerStream::AnswerStream(HttpDialect dialect, bool raw_prompt)
    : state_(std::make_unique<State>(dialect, raw_prompt)) {}
AnswerStream::~AnswerStream() = default;
AnswerStream::AnswerStream(AnswerStream&&) noexcept = default;
AnswerStream& AnswerStream::operator=(AnswerStream&&) noexcept = default;

Result<std::vector<engine::Piece>> AnswerStream::feed(std::string_view bytes) {
  std::vector<engine::Piece> pieces;
  if (!state_->done) {
    State& state = *state_;
    Status fed =
        state.dialect == HttpDialect::ollama
            ? state.lines.feed(bytes, [&](std::string_view line) { return state.ollama_line(line, pieces); })
            : state.events.feed(bytes, [&](std::string_view data) { return state.openai_event(data, pieces); });
    if (!fed) state.give_up({ErrorCode::corrupt, fed.error().message, {}});
  }
  if (state_->error) return fail(*state_->error);
  return pieces;
}

const std::optional<engine::Finished>& AnswerStream::finished() const { return state_->finished; }

Result<engine::Finished> AnswerStream::end() {
  // Some servers leave out [DONE]; what counts is that they said why the answer ended.
  if (!state_->done && state_->reason) state_->complete();
  if (state_->error) return fail(*state_->error);
  if (state_->finished) return *state_->finished;
  return fail(ErrorCode::unavailable, "the connection was closed in the middle of the answer");
}

}  // namespace skep::model
