#include "api/task_answer.h"

#include <cassert>

namespace skep::api {

// Hears of one task. Kept by the backend until its last call; keeps the answer alive meanwhile.
class TaskAnswer::Choice final : public agent::TaskListener {
 public:
  Choice(std::shared_ptr<TaskAnswer> answer, size_t index) : answer_(std::move(answer)), index_(index) {}

  void started(const agent::TaskStarted& started) override { answer_->started(index_, started); }
  void delta(const language::Delta& delta) override { answer_->delta(index_, delta); }
  void finished(const agent::TaskResult& result) override { answer_->finished(index_, result); }
  void failed(const agent::TaskFailure& failure) override { answer_->failed({failure.error, "", failure.retry_after}); }

 private:
  std::shared_ptr<TaskAnswer> answer_;
  size_t index_;
};

void TaskAnswer::start(ApiContext& context, std::shared_ptr<Exchange> exchange, wire::Ask ask,
                       std::unique_ptr<wire::AnswerFormat> format, Whole whole) {
  auto answer = std::make_shared<TaskAnswer>(context, std::move(exchange), ask.stream, std::move(format));
  if (!ask.stream && ask.tasks.size() == 1) answer->whole_ = std::move(whole);
  answer->submit(std::move(ask));
}

TaskAnswer::TaskAnswer(ApiContext& context, std::shared_ptr<Exchange> exchange, bool stream,
                       std::unique_ptr<wire::AnswerFormat> format)
    : context_(context), exchange_(std::move(exchange)), format_(std::move(format)), stream_(stream) {}

void TaskAnswer::submit(wire::Ask ask) {
  assert(!ask.tasks.empty());
  unfinished_ = ask.tasks.size();
  answers_.resize(unfinished_);
  exchange_->on_gone([self = shared_from_this()] {
    self->cancel_tasks();
    self->close();
  });
  for (size_t i = 0; i < ask.tasks.size(); ++i) {
    auto listener = std::make_shared<Choice>(shared_from_this(), i);
    agent::TaskId id = context_.backend.submit(std::move(ask.tasks[i]), std::move(listener));
    assert(id != 0);
    tasks_.push_back(id);
    context_.open_tasks.add(id, weak_from_this());
  }
  if (stream_) arm_ping();
}

void TaskAnswer::started(size_t choice, const agent::TaskStarted& started) {
  if (closed_) return;
  if (!route_) {
    route_ = started.route;
    cache_ = started.cache;
  }
  // Most formats say nothing yet, since prefill may still fail. Those that do commit the stream here.
  std::string bytes = format_->started(static_cast<int>(choice), started);
  if (stream_ && !bytes.empty()) {
    commit();
    send(bytes);
  }
}

void TaskAnswer::delta(size_t choice, const language::Delta& delta) {
  if (closed_) return;
  if (!stream_) {
    auto& logprobs = answers_[choice].logprobs;
    logprobs.insert(logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
    return;
  }
  std::string bytes = format_->delta(static_cast<int>(choice), delta);
  if (bytes.empty()) return;
  commit();
  send(bytes);
}

void TaskAnswer::finished(size_t choice, const agent::TaskResult& result) {
  if (closed_) return;
  assert(unfinished_ > 0);
  if (!route_) {
    route_ = result.route;
    cache_ = result.cache;
  }
  --unfinished_;
  context_.open_tasks.remove(result.id);
  if (stream_) {
    commit();
    send(format_->finished(static_cast<int>(choice), result));
    if (unfinished_ > 0 || closed_) return;
    send(format_->end());
    exchange_->end();
  } else {
    answers_[choice].result = result;
    if (unfinished_ > 0) return;
    HttpResponse response;
    response.headers = headers();
    response.body = format_->whole(answers_);
    if (whole_) whole_(result.id, response.body);
    exchange_->respond(std::move(response));
  }
  close();
}

void TaskAnswer::failed(const ApiError& error) {
  if (closed_) return;
  cancel_tasks();
  if (exchange_->begun()) {
    send(format_->broken(error));
    exchange_->end();
  } else {
    HttpResponse response = error_response(error, format_->error_style());
    for (auto& header : headers()) response.headers.push_back(std::move(header));
    exchange_->respond(std::move(response));
  }
  close();
}

void TaskAnswer::cancel_by(const std::string& who) {
  failed({{ErrorCode::cancelled, fmt::format("the task was cancelled by {}", who), ""}, ""});
}

void TaskAnswer::commit() {
  if (exchange_->begun()) return;
  HttpResponse head;
  head.content_type = std::string(format_->stream_type());
  head.headers = headers();
  head.headers.emplace_back("Cache-Control", "no-cache");
  head.headers.emplace_back("X-Accel-Buffering", "no");  // proxies must not collect a stream
  exchange_->begin(std::move(head));
}

void TaskAnswer::send(std::string_view bytes) {
  if (bytes.empty()) return;
  quiet_ = false;
  exchange_->write(bytes);
}

void TaskAnswer::arm_ping() {
  quiet_ = true;
  ping_timer_ = context_.loop.after(context_.ping, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self || self->closed_) return;
    if (self->quiet_) {
      self->commit();
      self->send(self->format_->ping());
    }
    self->arm_ping();
  });
}

void TaskAnswer::cancel_tasks() {
  for (agent::TaskId id : tasks_) {
    context_.backend.cancel(id);
    context_.open_tasks.remove(id);
  }
}

void TaskAnswer::close() {
  if (closed_) return;
  closed_ = true;
  context_.loop.cancel(ping_timer_);
  exchange_->on_gone(nullptr);  // it holds this answer
}

Headers TaskAnswer::headers() const {
  std::string ids;
  for (agent::TaskId id : tasks_) ids += (ids.empty() ? "" : ",") + std::to_string(id);
  return answer_headers(std::move(ids), route_ ? &*route_ : nullptr, cache_);
}

Headers answer_headers(std::string tasks, const agent::RouteDecision* route, const agent::CacheNote& cache) {
  Headers result;
  if (!tasks.empty()) result.emplace_back("X-Skep-Task", std::move(tasks));
  if (route != nullptr) {
    result.emplace_back("X-Skep-Model", route->model);
    if (!route->tier.empty()) result.emplace_back("X-Skep-Tier", route->tier);
  }
  if (cache.state == agent::CacheNote::State::hit) {
    auto age = std::chrono::duration_cast<std::chrono::seconds>(cache.age).count();
    result.emplace_back("X-Skep-Cache", fmt::format("hit; level={}; age={}", cache.level, age));
  } else if (cache.state == agent::CacheNote::State::miss) {
    result.emplace_back("X-Skep-Cache", "miss");
  }
  return result;
}

}  // namespace skep::api
