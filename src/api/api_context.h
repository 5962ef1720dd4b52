#pragma once
// What all routes share. Lives in ApiServer, on the loop.

#include <memory>
#include <string>
#include <unordered_map>

#include "api/backend.h"
#include "api/known_responses.h"
#include "api/model_jobs.h"
#include "base/event_loop.h"

namespace skep::api {

class TaskAnswer;

// The tasks whose answers are being written, so that DELETE /api/tasks/{id} ends the exchange of another client too.
class OpenTasks {
 public:
  void add(agent::TaskId id, std::weak_ptr<TaskAnswer> answer) { answers_[id] = std::move(answer); }
  void remove(agent::TaskId id) { answers_.erase(id); }
  // nullptr: not a task of this API (perhaps of the task runner).
  [[nodiscard]] std::shared_ptr<TaskAnswer> find(agent::TaskId id) const {
    auto found = answers_.find(id);
    return found == answers_.end() ? nullptr : found->second.lock();
  }

 private:
  std::unordered_map<agent::TaskId, std::weak_ptr<TaskAnswer>> answers_;  // bounded by the backend's open tasks
};

struct ApiContext {
  EventLoop& loop;
  Backend& backend;
  Duration ping;
  std::string version;
  std::string instance;  // random, 8 hex digits: makes ids unique across restarts
  uint64_t next_id = 1;
  OpenTasks open_tasks;
  KnownResponses known{nullptr};
  ModelJobs* jobs = nullptr;  // null: this daemon runs no model tools

  // "chatcmpl-5f3a9c01-17"
  std::string new_id(std::string_view prefix) { return fmt::format("{}-{}-{}", prefix, instance, next_id++); }
  [[nodiscard]] int64_t unix_seconds() const {
    return std::chrono::duration_cast<std::chrono::seconds>(loop.clock().wall().time_since_epoch()).count();
  }
};

}  // namespace skep::api
