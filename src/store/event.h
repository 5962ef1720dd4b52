#pragma once
// The event and task log: what happened, for people and analyses. Never the truth about anything: it may lag, and under
// load it sheds (event_log.h counts what).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace skep::store {

struct Event {
  WallTime at{};     // kept to the microsecond
  std::string kind;  // "task.finished", "model.evicted", "agent.woke", "answer.cached": area, dot, what
  std::string agent, model, tier, caller;
  int64_t task = 0;    // 0: none
  double seconds = 0;  // that it took
  int64_t prompt_tokens = 0, completion_tokens = 0;
  std::string detail;  // reason, error, level
  friend bool operator==(const Event&, const Event&) = default;
};

struct EventFilter {
  std::optional<WallTime> since, until;  // since <= at < until
  std::string kind;                      // exactly, or the area before the dot: "task"
  std::string agent, model;              // exactly; empty: any
  int limit = 100;
  bool newest_first = true;
};

// Where events are kept. append() and drop_before() come from one thread, query() from others. All of them wait.
class EventStore {
 public:
  virtual ~EventStore() = default;
  // All or nothing. invalid_argument, conflict: one of the events can't be kept, now or later; any other error: try
  // again (server gone, disk full).
  virtual Status append(const std::vector<Event>& events) = 0;
  virtual Result<std::vector<Event>> query(const EventFilter& filter) = 0;
  // Retention; also prepares what appends of the next days need.
  virtual Status keep_house(WallTime now, Duration retention) = 0;
  // The agent's events leave the files they are in. On append()'s thread.
  virtual Status forget(const std::string& agent) = 0;
  [[nodiscard]] virtual std::string_view name() const = 0;
};

}  // namespace skep::store
