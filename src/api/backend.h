#pragma once
// Everything the API needs of the daemon, as one interface: daemon/ implements it, tests replace it. All on the event
// loop; callbacks come on the loop, never from inside the call.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/task.h"
#include "api/api_error.h"
#include "api/state_backend.h"
#include "base/result.h"
#include "base/units.h"
#include "engine/messages.h"
#include "engine/score.h"
#include "model/model_info.h"

namespace skep::api {

// The longest keep_alive: a model that stays until somebody unloads it. Safe to add to any time.
inline constexpr Duration kKeepForever = std::chrono::hours(24 * 365 * 100);

struct RunningModel {
  model::ModelInfo info;
  Bytes host_bytes, gpu_bytes;  // in the ledger
  int context_tokens = 0;
  std::optional<WallTime> expires_at;  // unset: stays (pinned)
  std::string state;                   // loading, ready, unloading
  std::string forward;                 // which forward pass, and why not our own; empty while loading
  engine::StreamedWeights streamed;    // all of them 0: the model is in memory
  int generating = 0, waiting = 0;     // tasks
  int slots = 0;
  int64_t loads = 0;  // since the daemon started
};

struct AgentView {
  std::string name, title, tier, model, state;  // state: idle, waiting, working
  std::string phase;                            // of its memory: asleep, waking, active, idle, quarantined
  std::string priority;
  std::vector<std::string> task_types;
  std::string system_prompt;
  int64_t tasks_done = 0, tasks_failed = 0, tokens = 0;
};

struct TaskView {
  agent::TaskId id = 0;
  std::string agent, model, state;  // waiting, loading, running
  std::string priority;
  std::string caller;  // the API key's name
  Duration age{};
  int completion_tokens = 0;
};

struct LedgerEntry {
  std::string what;    // "engine tinyllama", "daemon"
  std::string device;  // host, gpu0
  Bytes weights, kv, compute, overhead;
  Bytes reserved, measured;
};

struct ResourceUsage {
  Bytes budget, reserved, measured;  // host: what may be used, what the ledger says, what the process tree has (PSS)
  std::vector<LedgerEntry> entries;
  double cpu_percent = 0;  // of all cores, this process tree
  int cores = 0;
  Bytes memory_total, memory_available;
  int queue_length = 0, queue_limit = 0;
  int engines_resident = 0, engines_limit = 0, engines_generating = 0, engines_generating_limit = 0;
};

struct LatencyQuantiles {
  double p50 = 0, p95 = 0, p99 = 0;  // seconds
  int64_t count = 0;
};

struct PerformanceReport {
  struct Row {
    std::string name;  // a tier or a model
    int64_t tasks = 0, failed = 0, prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
    LatencyQuantiles total, queued, first_token;
    int64_t loads = 0;
  };
  Duration uptime{};
  std::vector<Row> tiers, models;
  double tokens_per_second = 0;  // completion tokens, last minute
  struct EngineRow {
    std::string model;
    engine::Heartbeat heartbeat;  // its last
  };
  std::vector<EngineRow> engines;                            // local, that are ready
  int64_t preempted_in_place = 0, preempted_for_others = 0;  // tasks that made way for critical ones
};

// The part of a backend that somebody needs who has tasks to be done and wants to see how it goes. The daemon in this
// process is one, and a daemon elsewhere (cli/run/remote_tasks.h).
class TaskService {
 public:
  virtual ~TaskService() = default;

  // The listener is kept until its last call. An id of 0 is never given.
  virtual agent::TaskId submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) = 0;
  virtual void cancel(agent::TaskId task) = 0;  // idempotent; the listener hears nothing more

  [[nodiscard]] virtual std::vector<RunningModel> running() const = 0;
  [[nodiscard]] virtual ResourceUsage resources() const = 0;
  [[nodiscard]] virtual PerformanceReport performance() const = 0;
};

class Backend : public TaskService {
 public:
  struct EmbedAnswer {
    engine::Embeddings embeddings;
    std::string model;
  };
  using EmbedResult = Parsed<EmbedAnswer>;
  using EmbedId = uint64_t;
  virtual EmbedId embed(std::string model, engine::Embed input, std::string caller,
                        std::function<void(EmbedResult)> done) = 0;
  virtual void cancel_embed(EmbedId id) = 0;  // idempotent; `done` isn't called any more
  virtual void tokenize(std::string model, engine::Tokenize input,
                        std::function<void(Result<engine::Tokens>)> done) = 0;

  // The decision that submit() would take now, without taking it. `explanation` is text for people.
  struct Route {
    agent::RouteDecision decision;
    std::vector<std::pair<std::string, double>> factors;  // name, value 0..1 (after its weight is in `weights`)
    std::vector<std::pair<std::string, double>> weights;
    std::string explanation;
    Duration took{};
  };
  virtual Result<Route> route(const agent::TaskRequest& request) = 0;

  [[nodiscard]] virtual std::vector<model::ModelInfo> models() const = 0;  // catalog, broken ones too
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> aliases() const = 0;  // tier/agent -> model
  [[nodiscard]] virtual Result<model::ModelInfo> find_model(
      const std::string& name) const = 0;  // model, tier, agent, auto; with or without ":latest"
  virtual void load(const std::string& model, std::optional<Duration> keep_alive, std::function<void(Status)> done) = 0;
  virtual void unload(const std::string& model, std::function<void(Status)> done) = 0;

  // How likely the model finds a text, for compressing prompts.
  virtual void score(std::string /*model*/, engine::Score /*input*/, std::function<void(Result<engine::Scores>)> done) {
    done(fail(ErrorCode::unsupported, "no model judges texts here"));
  }

  [[nodiscard]] virtual std::vector<AgentView> agents() const = 0;
  [[nodiscard]] virtual std::vector<TaskView> tasks() const = 0;
  [[nodiscard]] virtual std::string metrics() const = 0;           // Prometheus text format
  [[nodiscard]] virtual bool ready() const = 0;                    // accepts tasks (not draining)
  [[nodiscard]] virtual StateBackend* state() { return nullptr; }  // null: nothing is remembered here
};

}  // namespace skep::api
