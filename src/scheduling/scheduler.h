#pragma once
// Who runs next: admission, order and the loading of models, as a pure deterministic policy. It takes facts and the
// time and returns actions; the dispatcher carries them out. No I/O, no clock, no threads (lives on the event loop).
//
//   admit() ──► waiting ──Start──► running ──ended()──► gone
//                 │  ▲────requeue()────┘ │
//                 └──────Expire──────────┘
//
// Order on one model, best first:
//   1. critical tasks;
//   2. aged tasks, oldest first: those that waited `starvation_limit`;
//   3. high, normal, background; a waiting task rises one class per `aging_step`, at most to high.
// Inside a class the tasks whose deadline is at risk come first, earliest deadline first; the others share by
// start-time fair queueing between agents (fair_queue.h).
//
// What is promised (scheduler_test.cc checks it on random traces):
//   - Starvation bound: once a task is aged, a task submitted after it starts before it on the same model only if that
//     one is critical, and of those at most `critical_burst` in a row while any aged task could start; for an aged
//     critical task, only an aged one that is due after such a burst.
//   - Turns: a model that has waiting tasks gets its turn (a Load, or the right to generate) once one of them has
//     waited `patience`, see Config::group_wait. An engine that has to make room starts nothing new meanwhile.
//   - The caps are never exceeded, and every admitted task ends exactly once.
// Cost: O(log n) per task and operation for n waiting tasks, plus O(models) in decide().

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "scheduling/accounts.h"
#include "scheduling/priority.h"

namespace skep::scheduling {

using TaskId = uint64_t;

struct TaskFacts {
  TaskId id = 0;
  std::string agent;   // empty: nobody's; it then shares as its caller
  std::string caller;  // the API key's name; empty: not limited
  std::string model;   // as routed
  Priority priority = Priority::normal;
  TimePoint submitted{};
  std::optional<TimePoint> deadline;
  int prompt_tokens = 0;  // estimate
  int max_tokens = 0;     // of the answer
  double weight = 1;      // the agent's share, > 0
};

// What an engine does now. A model is `loading` from the moment the dispatcher accepted its Load, so also while others
// make room for it, and `draining` once it was chosen to make room: it starts nothing new.
enum class EngineState { absent, loading, ready, draining, failed };

struct EngineFacts {
  std::string model;
  EngineState state = EngineState::absent;
  TimePoint retry_at{};                  // failed: not to be loaded again before
  int slots = 1;                         // ready: generations at once that make sense
  Duration load_cost{};                  // absent: estimate; loading: what is left of it
  bool fits = true;                      // absent: can load without taking the memory of an engine that has work
  bool remote = false;                   // runs on another machine: does not count as generating here
  double prefill_tokens_per_second = 0;  // of one sequence, measured; 0: unknown
  double decode_tokens_per_second = 0;
};

struct Caps {
  int generating_engines = 2;  // local engines that have running tasks
  int running_tasks = 64;      // agents at work, all engines together
  int queue_length = 1024;     // waiting tasks
  int loads_at_once = 1;
};

struct Config {
  Caps caps;
  Limits caller_limits, agent_limits;  // of those without limits of their own
  Duration aging_step = std::chrono::seconds(30);
  Duration starvation_limit = std::chrono::seconds(120);  // at least aging_step
  int critical_burst = 8;

  // Grouping by model: patience = min(group_wait[class], max(turn, swap_factor * load cost)), counted from the task's
  // submission or the model's last start, whichever is later; 0 for critical tasks and deadlines at risk. While a
  // model's turn lasts, its tasks go first; with swap_factor 4, loading takes at most a fifth of the time.
  std::array<Duration, kPriorities> group_wait = {std::chrono::seconds(0), std::chrono::seconds(5),
                                                  std::chrono::seconds(20), std::chrono::seconds(60)};
  Duration turn = std::chrono::seconds(1);
  double swap_factor = 4;

  // A deadline is at risk when less than risk_factor times the estimated service time is left, and given up when less
  // than hopeless_factor times.
  double risk_factor = 3;
  double hopeless_factor = 0.5;

  double critical_reserve = 0.05;  // share of the queue's places that only critical tasks may take
  double prompt_token_cost = 0.2;  // of one prompt token, in answer tokens, where agents share
  bool preemption = false;         // engines can park a running task
};

// Why a task was not admitted, and when it may be tried again.
struct Rejection {
  Error error;  // quota_exhausted (the caller's or agent's own limit), overloaded (the queue), invalid_argument
  Duration retry_after{};
};

// Give the task to the model's engine. It counts as running from now on.
struct Start {
  TaskId task = 0;
  std::string model;
  friend bool operator==(const Start&, const Start&) = default;
};
// Make the model's engine ready; residency picks what makes room. Repeated by every decide() until its state changes.
struct Load {
  std::string model;
  friend bool operator==(const Load&, const Load&) = default;
};
// Answer deadline_exceeded, and cancel the generation if it was running. The task has ended.
struct Expire {
  TaskId task = 0;
  bool running = false;
  Duration needed{};  // what it would still have taken; 0: the deadline has passed
  friend bool operator==(const Expire&, const Expire&) = default;
};
// Park `victim` and call requeue(): `critical` needs its slot where both are of one model, else its engine's turn or
// memory. Said once per start of the victim. Only with Config::preemption.
struct Preempt {
  TaskId victim = 0, critical = 0;
  friend bool operator==(const Preempt&, const Preempt&) = default;
};
using Action = std::variant<Start, Load, Expire, Preempt>;

struct Decision {
  std::vector<Action> actions;    // in the order to carry out
  std::optional<TimePoint> wake;  // decide() again then, if nothing else happens before
};

enum class End { finished, failed, cancelled };

// Tokens that a task really took.
struct Spent {
  int prompt_tokens = 0;  // evaluated: without those taken from a cache
  int completion_tokens = 0;
};

struct TaskRow {
  TaskFacts facts;
  bool running = false;
  TimePoint started{};  // running: since
};

class Scheduler {
 public:
  explicit Scheduler(Config config = {});
  ~Scheduler();
  Scheduler(Scheduler&&) noexcept;
  Scheduler& operator=(Scheduler&&) noexcept;

  // Limits of one caller or agent instead of the config's.
  void limit_caller(std::string_view name, Limits limits);
  void limit_agent(std::string_view name, Limits limits);

  // The task waits from now on, or was refused. The id must be new.
  tl::expected<void, Rejection> admit(const TaskFacts& task, TimePoint now);

  // Work that waits in no queue here (embeddings), but counts against its caller's limits. What was admitted has to
  // end; `correction`: tokens used more (less: negative) than `tokens`.
  tl::expected<void, Rejection> admit_aside(std::string_view caller, double tokens, TimePoint now);
  void ended_aside(std::string_view caller, double correction, Duration took, TimePoint now);

  // What to do now. To be called after every admit(), ended(), requeue() and change of an engine (once for a batch of
  // them), and at Decision::wake. `engines` names every model that has tasks; one that is missing counts as absent.
  [[nodiscard]] Decision decide(TimePoint now, std::span<const EngineFacts> engines);

  // The task is over, from waiting or running. False when it is unknown, so expired or ended already.
  bool ended(TaskId task, End how, Spent spent, TimePoint now);

  // A running task goes back to wait (its engine died, or it was parked), with the age it has, maybe for another model.
  // `spent` is charged. Never refused: its place was granted. False when it is unknown or not running.
  bool requeue(TaskId task, std::string_view model, Spent spent, TimePoint now);

  // Views.
  [[nodiscard]] int waiting() const;
  [[nodiscard]] int running() const;
  [[nodiscard]] int waiting(std::string_view model) const;
  [[nodiscard]] int running(std::string_view model) const;
  [[nodiscard]] int generating_engines() const;                   // local, that have running tasks
  [[nodiscard]] std::vector<std::string> models_waiting() const;  // models that have waiting tasks
  [[nodiscard]] std::optional<TaskRow> find(TaskId task) const;
  [[nodiscard]] std::vector<TaskRow> tasks(size_t limit = 1000) const;  // running first, then oldest first
  [[nodiscard]] Duration expected_wait(std::string_view model) const;   // of a new normal task, from what was measured
  [[nodiscard]] const Config& config() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skep::scheduling
