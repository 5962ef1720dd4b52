#pragma once
// The seam between the API and the response cache for a request whose very bytes came before: which answer they led to,
// and whether they still do. So neither JSON nor a plan is made again for an exact hit. cached_tasks.h implements it.
//
// A ticket holds what a plan read beside the task: take() refuses one that a changed catalog or core memory has made
// stale, or whose answer was replaced, invalidated, expired, or has left memory. Then the task goes the long way.
//
// On the event loop. Nothing here waits.

#include <cstdint>
#include <optional>
#include <string>

#include "agent/task.h"
#include "cache/cache_key.h"

namespace skep::agent {

class KnownAnswers {
 public:
  // Of a task that was answered from the cache's memory.
  struct Ticket {
    cache::CacheKey key{};
    uint64_t answer = 0;  // hash of the answer's bytes: the one that the asker has seen
    uint64_t basis = 0;   // what the plan read beside the task
    std::string agent;    // whose task it was; empty: nobody's
    RouteDecision route;
  };
  struct Hit {
    TaskId id = 0;  // of a new task, which this was
    CacheNote note;
  };

  // Requests with more messages may be fitted into their model's window before they are looked up: no ticket is theirs.
  static constexpr size_t kFewMessages = 4;

  virtual ~KnownAnswers() = default;
  // Of the task whose listener hears finished() at this moment. Unset: its way must be gone again each time.
  [[nodiscard]] virtual std::optional<Ticket> ticket(TaskId task) const = 0;
  // The same answer once more, counted like every hit. Unset: the ticket is stale.
  virtual std::optional<Hit> take(const Ticket& ticket) = 0;
};

}  // namespace skep::agent
