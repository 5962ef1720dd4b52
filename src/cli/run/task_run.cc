#include "cli/run/task_run.h"

#include <algorithm>
#include <utility>

#include "mind/language/grading.h"

namespace skep::cli {

struct TaskRun::Listener final : agent::TaskListener {
  Listener(TaskRun& r, uint64_t k, TaskLine t) : run(&r), key(k), task(std::move(t)) {}

  void started(const agent::TaskStarted& how) override {
    running = true;
    route = how.route;
  }
  void delta(const language::Delta&) override {
    if (run != nullptr && !first_token) first_token = run->loop_.now() - submitted;
  }
  void finished(const agent::TaskResult& result) override {
    if (run == nullptr) return;
    TaskRunCounts& counts = run->counts_;
    ++counts.finished;
    counts.completion_tokens += result.usage.completion_tokens;
    counts.prompt_tokens += result.usage.prompt_tokens;
    counts.cached_tokens += result.usage.cached_tokens;
    counts.models_of_tier[result.route.tier].insert(result.route.model);
    run->statistics_.finished(result, first_token.value_or(result.total), run->loop_.now());
    std::optional<bool> right;
    if (task.answer) {
      right = language::says(result.message.content, *task.answer);
      for (Accuracy* one : {&counts.accuracy, &counts.by_tier_and_steps[result.route.tier][task.steps]}) {
        ++one->graded;
        one->right += *right ? 1 : 0;
      }
    }
    run->ended(key, run->results_.write(task, result, right));
  }
  void failed(const agent::TaskFailure& failure) override {
    if (run == nullptr) return;
    if (failure.error.code == ErrorCode::overloaded || failure.error.code == ErrorCode::quota_exhausted) {
      // Not the task's fault: it keeps its place in line and is offered again.
      TaskRun& owner = *run;
      if (owner.stopping_) {  // taken back, as what had not started was
        --owner.counts_.submitted;
        return owner.ended(key, {});
      }
      Duration pause = std::clamp(failure.retry_after.value_or(std::chrono::milliseconds(100)),
                                  Duration(std::chrono::milliseconds(20)), Duration(std::chrono::seconds(30)));
      owner.waiting_.push_back(std::move(task));
      if (owner.pause_ == TimerId::none) {
        owner.pause_ = owner.loop_.after(pause, [&owner] {
          owner.pause_ = TimerId::none;
          owner.feed();
        });
      }
      return owner.ended(key, {});
    }
    ++run->counts_.failed;
    run->statistics_.failed(route.tier, route.model, task.request.agent);
    run->ended(key, run->results_.write(task, failure.error));
  }

  TaskRun* run;  // null once the run is gone
  uint64_t key;
  TaskLine task;
  agent::TaskId id = 0;
  bool running = false;
  agent::RouteDecision route;  // once it started
  TimePoint submitted{};
  std::optional<Duration> first_token;
};

TaskRun::TaskRun(EventLoop& loop, api::TaskService& service, TaskFile& tasks, ResultFile& results,
                 TaskRunOptions options)
    : loop_(loop), service_(service), tasks_(tasks), results_(results), options_(options) {}

TaskRun::~TaskRun() {
  for (auto& [key, listener] : under_way_) {
    listener->run = nullptr;
    service_.cancel(listener->id);
  }
  loop_.cancel(pause_);
}

void TaskRun::start(std::function<void(Status)> done) {
  done_ = std::move(done);
  loop_.post([this] { feed(); });
}

void TaskRun::submit(TaskLine task) {
  uint64_t key = next_key_++;
  auto listener = std::make_shared<Listener>(*this, key, std::move(task));
  listener->submitted = loop_.now();
  under_way_.emplace(key, listener);
  ++counts_.submitted;
  agent::TaskRequest request = listener->task.request;
  if (!options_.model.empty()) request.model = options_.model;
  if (!options_.caller.empty()) request.caller = options_.caller;
  if (options_.max_tokens > 0) {
    auto& asked = request.input.overrides.max_tokens;
    asked = std::min(asked.value_or(options_.max_tokens), options_.max_tokens);
  }
  listener->id = service_.submit(std::move(request), listener);
}

void TaskRun::feed() {
  if (std::exchange(feeding_, true)) return;
  while (!stopping_ && pause_ == TimerId::none && static_cast<int>(under_way_.size()) < options_.window) {
    if (!waiting_.empty()) {
      TaskLine task = std::move(waiting_.front());
      waiting_.erase(waiting_.begin());
      --counts_.submitted;
      submit(std::move(task));
      continue;
    }
    if (at_end_) break;
    auto item = tasks_.next();
    if (!item) {
      stop(fail(item.error()));
      break;
    }
    if (!*item) {
      at_end_ = true;
      break;
    }
    ++counts_.read;
    if (results_.done((*item)->line)) {
      ++counts_.skipped;
      continue;
    }
    if (auto& task = (*item)->task; task) {
      submit(std::move(*task));
    } else {
      ++counts_.broken;
      if (complaints_.size() < 20) complaints_.push_back(task.error().text());
      if (options_.strict) stop(fail(task.error()));
    }
  }
  feeding_ = false;
  check_done();
}

void TaskRun::ended(uint64_t key, Status written) {
  under_way_.erase(key);
  if (!written) stop(fail(written.error()));
  if (under_way_.empty() || (counts_.finished + counts_.failed) % 16 == 0) {
    if (auto flushed = results_.flush(); !flushed) stop(fail(flushed.error()));
  }
  loop_.post([this] { feed(); });
}

void TaskRun::interrupt() {
  stopping_ = true;
  counts_.submitted -= static_cast<int64_t>(waiting_.size());
  waiting_.clear();
  std::vector<uint64_t> keys;
  for (auto& [key, listener] : under_way_) {
    if (!listener->running) keys.push_back(key);
  }
  for (uint64_t key : keys) {
    auto node = under_way_.extract(key);
    node.mapped()->run = nullptr;
    service_.cancel(node.mapped()->id);
    --counts_.submitted;
  }
  check_done();
}

void TaskRun::stop(Status why) {
  if (outcome_ && !why) outcome_ = std::move(why);
  interrupt();
}

void TaskRun::check_done() {
  if (!done_ || !under_way_.empty() || !waiting_.empty() || !(at_end_ || stopping_)) return;
  if (auto flushed = results_.flush(); !flushed && outcome_) outcome_ = fail(flushed.error());
  loop_.post([done = std::exchange(done_, nullptr), outcome = outcome_] { done(outcome); });
}

std::optional<double> TaskRun::fraction() const {
  auto total = tasks_.bytes_total();
  if (!total || *total == 0) return std::nullopt;
  double read = static_cast<double>(tasks_.bytes_read()) / static_cast<double>(*total);
  if (counts_.read == 0) return read;
  double ended = static_cast<double>(counts_.read - under_way()) / static_cast<double>(counts_.read);
  return read * ended;
}

}  // namespace skep::cli
