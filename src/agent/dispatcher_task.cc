#include "agent/dispatcher_task.h"

#include <algorithm>
#include <utility>

namespace skep::agent {

Dispatcher::Task::~Task() {
  if (model::Engine* engine = lease.engine(); engine != nullptr && generation != 0) engine->cancel(generation);
}

void Dispatcher::Task::piece(engine::Piece piece) {
  completion_tokens += piece.tokens;
  if (first_token == TimePoint{}) first_token = dispatcher.loop_.now();
  raw_text += piece.text;
  tells_ids = tells_ids && piece.ids.size() == static_cast<size_t>(piece.tokens);
  raw_ids.insert(raw_ids.end(), piece.ids.begin(), piece.ids.end());
  language::Delta delta = reader->feed(piece.text);
  delta.logprobs = std::move(piece.logprobs);
  delta.tokens = piece.tokens;
  tell(delta);
}

void Dispatcher::Task::tell(const language::Delta& delta) {
  message.content += delta.content;
  message.reasoning += delta.reasoning;
  for (const auto& part : delta.tool_calls) {
    auto index = static_cast<size_t>(part.index);
    if (message.tool_calls.size() <= index) message.tool_calls.resize(index + 1);
    language::ToolCall& call = message.tool_calls[index];
    if (!part.id.empty()) call.id = part.id;
    if (!part.name.empty()) call.name = part.name;
    call.arguments += part.arguments;
  }
  if (!delta.content.empty() || !delta.reasoning.empty() || !delta.tool_calls.empty() || !delta.logprobs.empty()) {
    listener->delta(delta);
  }
}

engine::Generate Dispatcher::Task::begin(TimePoint now) {
  ++attempts;
  started = now;
  completion_tokens = 0;
  reader = plan.reader();
  engine::Generate generate = plan.generate;
  if (raw_text.empty()) return generate;
  if (tells_ids) {
    generate.answered = raw_ids;
  } else {
    generate.assistant_prefix += raw_text;
  }
  generate.max_tokens = std::max(1, generate.max_tokens - earlier_tokens);
  reader->feed(raw_text);  // it relearns where it stands; the client has heard that
  return generate;
}

bool Dispatcher::Task::can_be_prefixed() const {
  return plan.generate.grammar.empty() && !plan.generate.messages.empty() && message.tool_calls.empty();
}

TaskResult Dispatcher::Task::result(const engine::Finished& finished, TimePoint now) {
  TaskResult result;
  result.id = id;
  result.agent = request.agent;
  result.route = plan.route;
  result.message = std::move(message);
  result.message.role = "assistant";
  result.finish_reason = !result.message.tool_calls.empty()                ? "tool_calls"
                         : finished.reason == engine::FinishReason::length ? "length"
                                                                           : "stop";
  result.usage = finished.usage;
  result.usage.completion_tokens += earlier_tokens;
  result.seed = finished.seed;
  result.queued = started - submitted;
  result.load = load;
  result.prefill = finished.prefill;
  result.decode = finished.decode;
  result.total = now - submitted;
  result.attempts = attempts;
  return result;
}

}  // namespace skep::agent
