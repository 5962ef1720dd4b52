#pragma once
// Whoever takes tasks: the response cache before the dispatcher, the context window before that. Lives on the event
// loop; a listener hears on the loop, never from inside submit().

#include <memory>

#include "agent/task.h"

namespace skep::agent {

class Tasks {
 public:
  virtual ~Tasks() = default;
  // Ends in exactly one of the listener's finished() and failed(), unless cancelled. `id`: Dispatcher::reserve().
  virtual void submit(TaskId id, TaskRequest request, std::shared_ptr<TaskListener> listener) = 0;
  virtual void cancel(TaskId task) = 0;  // idempotent; the listener hears nothing more
};

}  // namespace skep::agent
