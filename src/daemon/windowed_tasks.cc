#include "daemon/windowed_tasks.h"

#include <algorithm>
#include <utility>

#include "daemon/daemon_context.h"
#include "daemon/options_from_config.h"

namespace skep::daemon {
namespace {

// With any tokenizer and template: a token for every byte, and some around each message.
int64_t most_tokens(const std::vector<engine::ChatMessage>& messages) {
  constexpr int64_t kAround = 24;
  int64_t most = 0;
  for (const engine::ChatMessage& message : messages) most += static_cast<int64_t>(message.content.size()) + kAround;
  return most;
}

}  // namespace

WindowedTasks::WindowedTasks(Parts parts) : parts_(parts), context_(parts.loop, context_options(parts.config)) {}

void WindowedTasks::submit(agent::TaskId id, agent::TaskRequest request,
                           std::shared_ptr<agent::TaskListener> listener) {
  const auto room = room_for(request);
  if (!room) return parts_.tasks.submit(id, std::move(request), std::move(listener));
  if (request.agent.empty()) request.agent = room->agent;
  preparing_.insert(id);
  fit(id, std::move(request), std::move(listener), room->tokens, room->all);
}

void WindowedTasks::fit(agent::TaskId id, agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener,
                        int tokens, int all) {
  auto services = std::make_shared<DaemonContext>(
      DaemonContext::Parts{parts_.loop, parts_.dispatcher, parts_.planner, parts_.backend, memory_}, request);
  auto messages = request.input.messages;
  const std::string name = archive_name(request);
  context_.prepare(
      name, std::move(messages), tokens, std::move(services),
      [this, id, tokens, all, request = std::move(request),
       listener = std::move(listener)](Result<agent::ContextKeeper::Fitted> fitted) mutable {
        // The configuration's bound is a wish, the model's is not.
        if (!fitted && fitted.error().code == ErrorCode::too_large && tokens < all && preparing_.contains(id)) {
          return fit(id, std::move(request), std::move(listener), all, all);
        }
        if (preparing_.erase(id) == 0) return;  // cancelled meanwhile
        if (!fitted) return parts_.dispatcher.refuse(listener, {id, fitted.error(), {}}, {}, request);
        request.input.messages = std::move(fitted->messages);
        parts_.tasks.submit(id, std::move(request), std::move(listener));
      });
}

void WindowedTasks::cancel(agent::TaskId task) {
  if (preparing_.erase(task) == 0) parts_.tasks.cancel(task);
}

std::optional<WindowedTasks::Room> WindowedTasks::room_for(const agent::TaskRequest& request) {
  const auto& input = request.input;
  if (!parts_.config.context.window || input.raw || input.messages.size() <= agent::KnownAnswers::kFewMessages)
    return std::nullopt;
  const auto plan = parts_.planner.plan(request);
  if (!plan) return std::nullopt;  // whoever plans it next tells why
  int context = parts_.config.engines.context;
  if (const auto named = parts_.config.models.find(plan->route.model); named != parts_.config.models.end()) {
    context = named->second.context.value_or(context);
  }
  if (const auto info = parts_.directory.find(plan->route.model); info && info->context_length > 0) {
    context = std::min(context, info->context_length);
  }
  for (const model::ResidentView& view : parts_.residency.views()) {
    if (view.model == plan->route.model && view.context_tokens > 0) context = view.context_tokens;
  }
  // An answer may have what it asks for, up to a third of the context.
  const int all = context - std::min(plan->generate.max_tokens, context / 3);
  const int wished = parts_.config.context.tokens;
  const int room = wished > 0 ? std::min(all, wished) : all;
  if (most_tokens(plan->generate.messages) < parts_.config.context.summarise_at * room) return std::nullopt;
  return Room{room, all, plan->agent};
}

std::string archive_name(const std::string& agent, const std::string& conversation) {
  return agent + "/" + conversation;
}

std::string archive_name(const agent::TaskRequest& request) {
  if (!request.conversation.empty()) return archive_name(request.agent, request.conversation);
  return agent::ContextKeeper::key_of(request.caller, request.agent, request.input.messages);
}

}  // namespace skep::daemon
