#pragma once
// Tasks from submission to their single end: plans them, lets the scheduler order them, has models loaded, gives them
// to engines, and hands the answer on. Effects only; who runs when is scheduling/scheduler.h, what is resident is
// model/residency.h. Lives on the event loop; listeners hear on the loop and never from inside submit() or cancel().
//
// An engine that dies: a task that it was working on is tried once more, on a fresh engine. What its client has heard
// already is not said again: the retry goes on behind the tokens that were generated (Generate::answered). An engine
// that doesn't tell them (HTTP) is given the text to continue (Generate::assistant_prefix); where that can't be (a
// grammar, a raw prompt or a half-sent tool call), the task fails with the reason.
//
// Preemption: where a critical task waits for a slot of its victim's engine, the victim waits in the scheduler's queue
// while its generation stays in the worker, which parks it by its priority; started again, it is merely counted as
// running. Where the critical task needs another model, the victim's generation is cancelled (the worker keeps its
// cells, or parks them on its way out) and goes on later as a retry does. The same happens to a generation that waits
// in its worker once that model starts nothing more (it makes room, or another has the turn): the worker would go on
// with it, and nobody counted it.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "agent/planner.h"
#include "agent/statistics.h"
#include "agent/task.h"
#include "base/event_loop.h"
#include "model/residency.h"
#include "scheduling/scheduler.h"

namespace skep::agent {

struct DispatcherOptions {
  scheduling::Config scheduling;
  int attempts = 2;  // per task, with engines that die
};

struct TaskView {
  TaskId id = 0;
  std::string agent, model, caller;
  scheduling::Priority priority = scheduling::Priority::normal;
  enum class State { waiting, running } state = State::waiting;
  Duration age{};
  int completion_tokens = 0;
};

class Dispatcher {
 public:
  Dispatcher(EventLoop& loop, model::Residency& residency, Planner& planner, DispatcherOptions options);
  ~Dispatcher();  // listeners hear nothing more
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Always ends in exactly one of the listener's finished() and failed(), unless cancelled.
  TaskId submit(TaskRequest request, std::shared_ptr<TaskListener> listener);
  // The same under an id from reserve(), and for a task that is planned already.
  void submit(TaskId id, TaskRequest request, std::shared_ptr<TaskListener> listener);
  void submit(TaskId id, TaskRequest request, Plan plan, std::shared_ptr<TaskListener> listener);
  [[nodiscard]] TaskId reserve() { return next_++; }
  // A task that was answered elsewhere counts like one of ours.
  void count(const TaskResult& result, Duration first_token);
  // Ends a task that never came here, or can't stay: whoever counts hears of it, and its listener, later on the loop.
  void refuse(std::shared_ptr<TaskListener> listener, TaskFailure failure, const RouteDecision& route,
              const TaskRequest& request);
  void cancel(TaskId task);  // idempotent

  // Embeddings go past the queue, but count against their caller's limits: what was admitted has to end. `correction`:
  // tokens used more (less: negative) than `tokens`.
  tl::expected<void, scheduling::Rejection> admit_embedding(const std::string& caller, int tokens);
  void ended_embedding(const std::string& caller, int correction, Duration took);

  void limit_caller(const std::string& name, scheduling::Limits limits);
  void limit_agent(const std::string& name, scheduling::Limits limits);
  // Called for every finished task, for logs and metrics: the result and the time to its first token.
  void on_finished(std::function<void(const TaskResult&, Duration first_token)> heard);
  void on_failed(std::function<void(const TaskFailure&, const RouteDecision&, const TaskRequest&)> heard);

  // Something outside changed that may let tasks run: an engine was loaded, freed or died. Cheap; coalesced.
  void wake();
  // Refuses new tasks; `done` once the last one ended.
  void drain(std::function<void()> done);
  [[nodiscard]] bool draining() const { return static_cast<bool>(drained_); }

  [[nodiscard]] const scheduling::Scheduler& scheduler() const { return scheduler_; }
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  struct Preemptions {
    int64_t parked = 0;   // in their worker
    int64_t stopped = 0;  // for a task of another model; they go on as a retry does
  };
  [[nodiscard]] const Preemptions& preemptions() const { return preemptions_; }
  [[nodiscard]] std::vector<TaskView> tasks(size_t limit = 1000) const;
  [[nodiscard]] bool works(const std::string& agent) const;  // has a running task
  [[nodiscard]] bool waits(const std::string& agent) const;  // has a waiting one

 private:
  struct Task;
  struct Rates {  // of one sequence, measured: exponential means
    double prefill = 0, decode = 0;
  };

  void pump();
  std::vector<scheduling::EngineFacts> engine_facts() const;
  void carry_out(const scheduling::Action& action);
  void start(Task& task);
  void load(const std::string& model);
  void load_failed(const std::string& model, const Error& error);
  void expire(const scheduling::Expire& expire);
  void preempt(const scheduling::Preempt& preempt);
  void stop_generation(Task& task);
  void recall_parked(const std::set<TaskId>& parked, const std::vector<scheduling::EngineFacts>& engines);
  void waits_again(Task& task);
  void engine_finished(Task& task, const engine::Finished& finished);
  void engine_failed(Task& task, const Error& error);
  void end_with(Task& task, Error error, std::optional<Duration> retry_after = {});
  std::unique_ptr<Task> take(TaskId id);
  void tell_demand();
  void check_drained();

  EventLoop& loop_;
  model::Residency& residency_;
  Planner& planner_;
  DispatcherOptions options_;
  scheduling::Scheduler scheduler_;
  Statistics statistics_;
  std::unordered_map<TaskId, std::unique_ptr<Task>> tasks_;
  std::unordered_map<std::string, int> agent_tasks_waiting_, agent_tasks_running_;
  std::unordered_map<std::string, Rates> rates_;
  std::unordered_set<std::string> loading_;
  std::set<TaskId> parked_;  // wait in the scheduler, and in their worker behind a critical one
  Preemptions preemptions_;
  std::function<void(const TaskResult&, Duration)> heard_finished_;
  std::function<void(const TaskFailure&, const RouteDecision&, const TaskRequest&)> heard_failed_;
  std::function<void()> drained_;
  bool drain_told_ = false;
  TaskId next_ = 1;
  bool pump_posted_ = false;
  TimerId wake_timer_ = TimerId::none;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // callbacks under way check it
};

}  // namespace skep::agent
