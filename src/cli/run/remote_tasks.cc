#include "cli/run/remote_tasks.h"

#include <utility>

#include "api/wire/control_client.h"
#include "model/stream_parser.h"

namespace skep::cli {

namespace {

constexpr Bytes kErrorBody = 1_MiB;
constexpr Bytes kViewBody = 64_MiB;
constexpr Duration kLook = std::chrono::seconds(1);
constexpr Duration kLater = std::chrono::seconds(1);  // before a task is offered again to a daemon that went away

}  // namespace

struct RemoteTasks::Task {
  std::shared_ptr<agent::TaskListener> listener;
  model::HttpClient::Id request = 0;
  model::HttpHead head;
  std::string error_body;
  model::SseParser events{64_MiB};
};

RemoteTasks::RemoteTasks(AsioEventLoop& loop, std::string url, Duration patience)
    : loop_(loop), url_(std::move(url)), patience_(patience), answered_(loop.now()) {}

RemoteTasks::~RemoteTasks() { loop_.cancel(timer_); }

Result<std::unique_ptr<RemoteTasks>> RemoteTasks::make(AsioEventLoop& loop, const std::string& url,
                                                       const std::string& key, int most, Duration patience) {
  SKEP_TRY(model::HttpUrl parsed, model::parse_url(url));
  std::unique_ptr<RemoteTasks> made(new RemoteTasks(loop, parsed.text(), patience));
  model::HttpClientOptions options;
  if (!key.empty()) options.headers.emplace_back("Authorization", "Bearer " + key);
  options.most_connections = static_cast<size_t>(most) + 2;  // the views want theirs besides
  options.most_waiting = static_cast<size_t>(most) + 16;
  // A task may wait in the daemon's queue for hours; its pings say that it is there.
  options.first_byte = std::chrono::hours(1);
  SKEP_TRY(made->client_, model::HttpClient::create(loop, std::move(parsed), std::move(options)));
  return made;
}

void RemoteTasks::begin(std::function<void(Status)> done) {
  refresh([this, done = std::move(done)](const Status& status) {
    if (status) watch();
    done(status);
  });
}

// Two questions, one after the other: what it has, then what it did.
void RemoteTasks::refresh(std::function<void(Status)> done) {
  const auto problem = [url = url_](Error error) {
    error.message = fmt::format("{}: {}", url, error.message);
    if (error.code == ErrorCode::unauthenticated) error.hint = "give a key with --key or SKEP_API_KEY";
    return error;
  };
  auto second = [this, problem, done](Result<model::HttpClient::Answer> answer) {
    if (!answer) return done(fail(problem(answer.error())));
    if (answer->head.status != 200)
      return done(fail(problem(api::wire::read_control_error(answer->head.status, answer->body))));
    auto performance = api::wire::read_control_performance(answer->body);
    if (!performance) return done(fail(problem(performance.error())));
    performance_ = std::move(*performance);
    done({});
  };
  auto first = [this, problem, second, done](Result<model::HttpClient::Answer> answer) {
    if (!answer) {
      Error error = problem(answer.error());
      if (error.hint.empty()) error.hint = "start a daemon with `skep serve`, or give another --url";
      return done(fail(std::move(error)));
    }
    answered_ = loop_.now();
    if (answer->head.status != 200)
      return done(fail(problem(api::wire::read_control_error(answer->head.status, answer->body))));
    auto resources = api::wire::read_control_resources(answer->body);
    if (!resources) return done(fail(problem(resources.error())));
    usage_ = std::move(resources->usage);
    running_ = std::move(resources->running);
    client_->fetch({"GET", "/api/performance/metrics", {}}, kViewBody, second);
  };
  client_->fetch({"GET", "/api/resources/usage", {}}, kViewBody, std::move(first));
}

void RemoteTasks::watch() {
  timer_ = loop_.after(kLook, [this] {
    refresh([this](const Status& status) {
      if (!status && lost_ && loop_.now() - answered_ > patience_)
        return std::exchange(lost_, nullptr)(status.error());  // and no more questions
      watch();
    });
  });
}

agent::TaskId RemoteTasks::submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) {
  const agent::TaskId id = next_++;
  Task& task = *tasks_.emplace(id, std::make_shared<Task>()).first->second;
  task.listener = std::move(listener);
  model::HttpClient::Listener hears;
  hears.head = [this, id](const model::HttpHead& head) {
    if (auto found = tasks_.find(id); found != tasks_.end()) found->second->head = head;
  };
  hears.data = [this, id](std::string_view data) { heard(id, data); };
  hears.end = [this, id](const Status& status) { ended(id, status); };
  task.request = client_->send({"POST", "/api/tasks", api::wire::control_task_body(request)}, std::move(hears));
  return id;
}

void RemoteTasks::cancel(agent::TaskId id) {
  auto node = tasks_.extract(id);
  if (!node.empty()) client_->cancel(node.mapped()->request);  // the daemon sees the connection go
}

void RemoteTasks::heard(agent::TaskId id, std::string_view data) {
  auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  answered_ = loop_.now();
  const std::shared_ptr<Task> kept = found->second;  // what the listener does may end it
  Task& task = *kept;
  if (task.head.status != 200) {
    if (task.error_body.size() + data.size() <= static_cast<size_t>(kErrorBody.count)) task.error_body += data;
    return;
  }
  std::optional<Error> failed;
  auto fed = task.events.feed(data, [&](std::string_view text) {
    auto event = api::wire::read_control_event(text);
    if (!event) {
      failed = event.error();
      return false;
    }
    if (const auto* started = std::get_if<agent::TaskStarted>(&*event)) task.listener->started(*started);
    if (const auto* delta = std::get_if<language::Delta>(&*event)) task.listener->delta(*delta);
    if (const auto* result = std::get_if<agent::TaskResult>(&*event)) {
      tasks_.erase(id);
      client_->drain(task.request);
      task.listener->finished(*result);
      return false;
    }
    return tasks_.contains(id);
  });
  if (!tasks_.contains(id)) return;
  if (!fed) failed = fed.error();
  if (failed) {
    client_->drain(task.request);
    fail_task(id, std::move(*failed), std::nullopt);
  }
}

void RemoteTasks::ended(agent::TaskId id, const Status& status) {
  auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  const Task& task = *found->second;
  if (status && task.head.status != 200)
    return fail_task(id, api::wire::read_control_error(task.head.status, task.error_body), task.head.retry_after);
  fail_task(id, {ErrorCode::overloaded, status ? "the daemon's answer broke off" : status.error().message, {}}, kLater);
}

void RemoteTasks::fail_task(agent::TaskId id, Error error, std::optional<Duration> retry_after) {
  auto over = tasks_.extract(id);
  over.mapped()->listener->failed({id, std::move(error), retry_after});
}

}  // namespace skep::cli
