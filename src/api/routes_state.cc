// Agents' memory, the response cache, the event log, backups: control routes over StateBackend.

#include <boost/json.hpp>
#include <charconv>

#include "api/routes.h"
#include "api/task_answer.h"
#include "api/wire/control_task_format.h"
#include "api/wire/control_task_request.h"
#include "api/wire/fields.h"
#include "api/wire/json_text.h"
#include "api/wire/state_views.h"

namespace skep::api {
namespace {

using ExchangePtr = std::shared_ptr<Exchange>;
namespace json = boost::json;

constexpr const char* kDefaultConversation = "default";
constexpr int64_t kMostTurns = 10'000;
constexpr size_t kMostWarmed = 10'000;  // lines of one request

void refuse(Exchange& exchange, const ApiError& error) { exchange.respond(error_response(error, ErrorStyle::control)); }

HttpResponse no_content() {
  HttpResponse response;
  response.status = 204;
  return response;
}

std::function<void(Status)> answer_status(const ExchangePtr& exchange) {
  return [exchange](const Status& done) {
    if (!done) return refuse(*exchange, {done.error(), ""});
    exchange->respond(no_content());
  };
}

std::string conversation_of(const HttpRequest& request) {
  std::string name = request.query_value("conversation");
  return name.empty() ? kDefaultConversation : name;
}

// A number of the query within its bounds; `fallback` where there is none.
std::optional<int64_t> query_number(const HttpRequest& request, std::string_view name, int64_t fallback, int64_t most) {
  std::string text = request.query_value(name);
  if (text.empty()) return fallback;
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > most) return std::nullopt;
  return value;
}

void bad_number(Exchange& exchange, const char* name, int64_t most) {
  refuse(exchange, {{ErrorCode::invalid_argument, fmt::format("{}: a number from 1 to {}", name, most), ""}, name});
}

void messages(ApiContext& context, StateBackend& state, const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request();
  auto limit = query_number(request, "limit", 100, kMostTurns);
  if (!limit) return bad_number(*exchange, "limit", kMostTurns);
  (void)context;
  state.memory(std::string(request.capture("name")), conversation_of(request), static_cast<size_t>(*limit),
               [exchange](const Result<MemoryView>& view) {
                 if (!view) return refuse(*exchange, {view.error(), ""});
                 exchange->respond(json_response(wire::state_memory(*view)));
               });
}

// Says something to an agent, as a task of its conversation; or, with "wait": false, leaves it in the mailbox.
void say(ApiContext& context, StateBackend& state, const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request();
  auto asked = wire::parse_control_task(request);
  if (!asked) return refuse(*exchange, asked.error());
  agent::TaskRequest& task = asked->tasks.front();
  task.agent = request.capture("name");
  if (task.conversation.empty()) task.conversation = kDefaultConversation;
  auto body = wire::parse_body(request.body);
  std::optional<ApiError> error;
  wire::Fields fields(*body, error);
  bool wait = fields.boolean("wait").value_or(true);
  if (error) return refuse(*exchange, *error);
  if (wait) {
    return TaskAnswer::start(context, exchange, std::move(*asked), std::make_unique<wire::ControlTaskFormat>());
  }
  if (task.input.messages.size() != 1 || task.input.messages.front().role != "user") {
    return refuse(*exchange, {{ErrorCode::invalid_argument, "a letter is one text: give it as input", ""}, "messages"});
  }
  agent::Letter letter;
  letter.from = request.caller.name;
  letter.conversation = task.conversation;
  letter.text = task.input.messages.front().content;
  letter.sent = context.loop.clock().wall();
  letter.max_tokens = task.input.overrides.max_tokens.value_or(0);
  letter.temperature = task.input.overrides.temperature;
  state.deliver(task.agent, std::move(letter), [exchange](const Result<uint64_t>& id) {
    if (!id) return refuse(*exchange, {id.error(), ""});
    HttpResponse accepted = json_response(wire::to_text(json::object{{"letter", *id}}));
    accepted.status = 202;
    exchange->respond(std::move(accepted));
  });
}

void export_agent(ApiContext&, StateBackend& state, const ExchangePtr& exchange) {
  state.export_agent(std::string(exchange->request().capture("name")), [exchange](const Result<std::string>& text) {
    if (!text) return refuse(*exchange, {text.error(), ""});
    HttpResponse response;
    response.content_type = "text/plain; charset=utf-8";
    response.body = *text;
    exchange->respond(std::move(response));
  });
}

void backup(ApiContext& context, StateBackend& state, const ExchangePtr& exchange) {
  std::string name;
  if (!exchange->request().body.empty()) {
    auto body = wire::parse_body(exchange->request().body);
    if (!body) return refuse(*exchange, body.error());
    std::optional<ApiError> error;
    name = wire::Fields(*body, error).text_or("name", "");
    if (error) return refuse(*exchange, *error);
  }
  if (name.empty()) name = fmt::format("state-{}.mdb", context.unix_seconds());
  state.backup(name, [exchange](const Result<BackupView>& made) {
    if (!made) return refuse(*exchange, {made.error(), "name"});
    exchange->respond(json_response(wire::state_backup(*made)));
  });
}

void log(ApiContext& context, StateBackend& state, const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request();
  store::EventFilter filter;
  for (auto [name, place] : {std::pair{"since", &filter.since}, std::pair{"until", &filter.until}}) {
    std::string text = request.query_value(name);
    if (text.empty()) continue;
    auto moment = wire::parse_moment(text, context.loop.clock().wall());
    if (!moment) return refuse(*exchange, {moment.error(), name});
    *place = *moment;
  }
  filter.kind = request.query_value("kind");
  filter.agent = request.query_value("agent");
  filter.model = request.query_value("model");
  auto limit = query_number(request, "limit", 100, 10'000);
  if (!limit) return bad_number(*exchange, "limit", 10'000);
  filter.limit = static_cast<int>(*limit);
  filter.newest_first = request.query_value("order") != "oldest";
  state.log(std::move(filter), [exchange](const Result<std::vector<store::Event>>& events) {
    if (!events) return refuse(*exchange, {events.error(), ""});
    exchange->respond(json_response(wire::state_log(*events)));
  });
}

// Lines of {"task": as for POST /api/tasks, "answer": text, "for": the API key's name whose task it is (by default the
// one that warms)}: answers are shared within a key alone. Stops at the first that is wrong, and says which.
void warm(ApiContext&, StateBackend& state, const ExchangePtr& exchange) {
  const HttpRequest& request = exchange->request();
  size_t number = 0, warmed = 0;
  std::string_view rest = request.body;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    auto wrong = [&](const Error& error) {
      Error named = error;
      named.message = fmt::format("line {}: {} ({} before it are kept)", number, error.message, warmed);
      refuse(*exchange, {named, ""});
    };
    if (number > kMostWarmed) return wrong({ErrorCode::too_large, "too many lines at once", ""});
    auto object = wire::parse_body(line);
    if (!object) return wrong(object.error().error);
    std::optional<ApiError> error;
    wire::Fields fields(*object, error);
    std::string answer = fields.required_text("answer");
    HttpRequest one;
    one.caller = request.caller;
    one.caller.name = fields.text_or("for", request.caller.name);
    one.body = fields.raw_object("task");
    if (error) return wrong(error->error);
    auto asked = wire::parse_control_task(one);
    if (!asked) return wrong(asked.error().error);
    if (Status kept = state.warm(asked->tasks.front(), std::move(answer)); !kept) return wrong(kept.error());
    ++warmed;
  }
  exchange->respond(json_response(wire::to_text(json::object{{"warmed", warmed}})));
}

}  // namespace

void add_state_routes(Router& router, ApiContext& context) {
  auto add = [&](const char* method, const char* pattern, Role role, auto handler) {
    router.add({method, pattern, role, ErrorStyle::control, [&context, handler](const ExchangePtr& exchange) {
                  StateBackend* state = context.backend.state();
                  if (state == nullptr) {
                    return refuse(*exchange, {{ErrorCode::unsupported, "nothing is remembered here: state is off",
                                               "set state.enabled"},
                                              ""});
                  }
                  handler(context, *state, exchange);
                }});
  };
  add("GET", "/api/agents/{name}/messages", Role::read, messages);
  add("POST", "/api/agents/{name}/messages", Role::user, say);
  add("DELETE", "/api/agents/{name}/messages", Role::user, [](ApiContext&, StateBackend& s, const ExchangePtr& e) {
    s.forget_conversation(std::string(e->request().capture("name")), conversation_of(e->request()), answer_status(e));
  });
  add("GET", "/api/agents/{name}/state", Role::admin, export_agent);
  add("PUT", "/api/agents/{name}/state", Role::admin, [](ApiContext&, StateBackend& s, const ExchangePtr& e) {
    s.import_agent(std::string(e->request().capture("name")), e->request().body, answer_status(e));
  });
  add("DELETE", "/api/agents/{name}/state", Role::admin, [](ApiContext&, StateBackend& s, const ExchangePtr& e) {
    s.forget_agent(std::string(e->request().capture("name")), answer_status(e));
  });
  add("POST", "/api/backup", Role::admin, backup);
  add("GET", "/api/log", Role::read, log);
  add("GET", "/api/cache", Role::read, [](ApiContext&, StateBackend& s, const ExchangePtr& e) {
    e->respond(json_response(wire::state_cache(s.cache())));
  });
  add("DELETE", "/api/cache", Role::admin, [](ApiContext&, StateBackend& s, const ExchangePtr& e) {
    s.invalidate(std::string(e->request().query_value("tag")), answer_status(e));
  });
  add("POST", "/api/cache/warm", Role::admin, warm);
}

}  // namespace skep::api
