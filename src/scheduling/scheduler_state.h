#pragma once
// The scheduler's insides, shared by its sources: scheduler.cc keeps the book of tasks and their places, turns.cc makes
// the decisions.

#include <algorithm>
#include <cassert>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "scheduling/accounts.h"
#include "scheduling/model_queue.h"
#include "scheduling/scheduler.h"

namespace skep::scheduling {

inline Duration from_seconds(double s) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::clamp(s, 0.0, 1e6)));
}

inline Duration scaled(Duration d, double factor) { return from_seconds(seconds(d) * factor); }

// `at + by` without overflow, for times that stand for "never".
inline TimePoint later(TimePoint at, Duration by) { return at > TimePoint::max() - by ? TimePoint::max() : at + by; }

struct Model {
  std::string name;
  EngineFacts facts;  // of the last decide()
  ModelQueue queue;
  std::set<TaskId> deadlines;                            // waiting tasks that have one
  std::set<std::tuple<int, TimePoint, TaskId>> running;  // by class and start: the last is preempted first
  int critical_streak = 0;                               // critical tasks started in a row while an aged one waited
  int preempting = 0;                                    // of them
  TimePoint last_start = TimePoint::min();
  TimePoint turn_start = TimePoint::min();   // since when tasks run without a break
  bool swapping = false;                     // its Load takes memory from an engine that has work
  double mean_service = 0, mean_answer = 0;  // seconds and tokens of tasks that finished; 0: unknown

  [[nodiscard]] bool generating() const { return !facts.remote && !running.empty(); }
  [[nodiscard]] bool may_load(TimePoint now) const {
    return facts.state == EngineState::absent || (facts.state == EngineState::failed && facts.retry_at <= now);
  }
  [[nodiscard]] bool has_slot() const { return static_cast<int>(running.size()) < facts.slots; }
};

struct Task {
  TaskFacts facts;
  Waiting waiting;  // its place, or the one it was started from
  Model* model = nullptr;
  bool running = false, preempting = false;
  TimePoint started{};
  double charged = 0;  // tokens, to the accounts
  double cost = 0;     // to the fair queue
  TimePoint event = TimePoint::max();
};

struct Scheduler::State {
  explicit State(Config given) : config(given), callers(given.caller_limits), agents(given.agent_limits) {
    assert(config.starvation_limit >= config.aging_step && config.aging_step > Duration::zero());
    assert(config.critical_burst > 0 && config.risk_factor >= config.hopeless_factor);
  }

  Config config;
  Accounts callers, agents;
  std::unordered_map<TaskId, Task> tasks;            // node-based: Task* stays valid
  std::map<std::string, Model, std::less<>> models;  // that ever had a task: at most the catalog's
  std::set<std::pair<TimePoint, TaskId>> events;     // when a task's place changes or it expires
  int waiting = 0, running = 0;
  TimePoint last_swap = TimePoint::min();
  double mean_interval = 0;  // seconds between two ends while tasks wait
  std::optional<TimePoint> last_end;

  // Estimates.
  [[nodiscard]] double answer_tokens(const Task& task) const;
  [[nodiscard]] Duration service(const Task& task) const;
  [[nodiscard]] double cost(double prompt, double answer) const { return prompt * config.prompt_token_cost + answer; }
  [[nodiscard]] Duration expected_wait(const Model& model) const;

  // Places.
  Model& model_of(std::string_view name);
  [[nodiscard]] Place place(const Task& task, TimePoint now) const;
  [[nodiscard]] TimePoint next_event(const Task& task, TimePoint now) const;
  [[nodiscard]] bool hopeless(const Task& task, TimePoint now) const;
  void set_event(Task& task, TimePoint at);
  void enqueue(Task& task, TimePoint now);
  void dequeue(Task& task);
  void refresh(Task& task, TimePoint now, std::vector<Action>& actions);
  void forget(Task& task, double used, TimePoint now);
  void leave_engine(Task& task);

  // decide(), in this order.
  void observe(std::span<const EngineFacts> engines, TimePoint now, std::vector<Action>& actions);
  void fire_events(TimePoint now, std::vector<Action>& actions);
  std::set<const Model*> start_tasks(TimePoint now, Decision& decision);  // returns those that yield
  void load_models(TimePoint now, int loading, Decision& decision);
  void preempt(const std::set<const Model*>& yields, std::vector<Action>& actions);
  void preempt_all(Model& model, TaskId critical, std::vector<Action>& actions);

  [[nodiscard]] TimePoint due(const Model& model) const;
  [[nodiscard]] std::optional<Head> head(const Model& model) const {
    return model.queue.head(model.critical_streak >= config.critical_burst);
  }
  [[nodiscard]] std::set<const Model*> yielding(TimePoint now, Decision& decision) const;
  void start(Task& task, TimePoint now, std::vector<Action>& actions);
};

}  // namespace skep::scheduling
