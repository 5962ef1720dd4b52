#pragma once
// A task: one unit of work for one agent, from submission to its single end.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/messages.h"
#include "mind/language/request.h"
#include "scheduling/priority.h"

namespace skep::agent {

using TaskId = uint64_t;

// What the response cache may do with a task (cached_tasks.h).
struct CachePolicy {
  bool look_up = true;  // Cache-Control: no-cache turns it off
  bool store = true;    // no-store turns both off
  std::vector<std::string> tags;
  std::optional<Duration> ttl;  // unset: the cache's
};

// What the response cache did with a task.
struct CacheNote {
  enum class State { bypassed, miss, hit } state = State::bypassed;
  std::string level;  // of a hit: memory, disk, similar, flight
  Duration age{};     // of the answer
};

struct TaskRequest {
  std::string agent;    // a name of the roster; empty: nobody's (the caller's own task)
  std::string model;    // a model, a tier, an agent, or "auto"; empty: the agent's tier, else auto
  std::string adapter;  // a LoRA adapter's name; empty: the agent's, if it has one
  language::Request input;
  std::optional<scheduling::Priority> priority;  // unset: the agent's, else normal
  std::optional<Duration> deadline;              // from now
  std::optional<Duration> keep_alive;            // how long the model stays after this task; 0: unload
  std::string caller;                            // the API key's name; quotas and share scope go by it
  CachePolicy cache;
  std::string conversation;  // of the agent, which remembers it (correspondence.h); empty: nothing is remembered
};

// Why this model: readable, and complete enough to check.
struct RouteDecision {
  std::string model;
  std::string tier;       // fast, balanced, deep; empty for an explicit model without a tier
  std::string reason;     // one sentence
  double complexity = 0;  // 0..1; 0 when the choice was explicit
};

struct TaskStarted {
  TaskId id = 0;
  RouteDecision route;
  CacheNote cache;
};

struct TaskResult {
  TaskId id = 0;
  std::string agent;
  RouteDecision route;
  language::Message message;  // the whole answer
  std::string finish_reason;  // stop, length, tool_calls
  engine::Usage usage;
  uint32_t seed = 0;
  Duration queued{};  // from submission until it was given to an engine
  Duration load{};    // of that, waiting for its model to load
  Duration prefill{};
  Duration decode{};
  Duration total{};
  int attempts = 1;
  CacheNote cache;
};

struct TaskFailure {
  TaskId id = 0;
  Error error;
  std::optional<Duration> retry_after;  // for quota_exhausted (429) and overloaded (503)
};

// Hears of one task, on the event loop. Exactly one of finished() and failed() comes, last, unless cancelled.
class TaskListener {
 public:
  virtual ~TaskListener() = default;
  virtual void started(const TaskStarted&) {}  // admitted to an engine; may come once more after a retry
  virtual void delta(const language::Delta& delta) = 0;
  virtual void finished(const TaskResult& result) = 0;
  virtual void failed(const TaskFailure& failure) = 0;
};

}  // namespace skep::agent
