#pragma once
// The daemon's end of one worker: its process, the socket with its frames, and the watch over both. It knows messages
// but not what they mean (worker_engine.cc does). On the event loop.

#include <functional>
#include <memory>
#include <string>

#include "base/asio_event_loop.h"
#include "base/result.h"
#include "engine/wire.h"
#include "model/worker_engine.h"

namespace skep::model {

class WorkerLink {
 public:
  struct Listener {
    std::function<void(engine::RequestId, engine::Message)> message;
    // Once: the process is gone and everything it sent has been heard. Why: unavailable with the reason, the last
    // lines of its output included; or the error that kill() was given, or that the worker gave as its last word.
    std::function<void(const Error&)> ended;
  };

  // `load`: what it will be told to load; its threads go into the environment, too, unless the worker chooses.
  static Result<std::unique_ptr<WorkerLink>> start(AsioEventLoop& loop, const WorkerOptions& options,
                                                   const engine::LoadOptions& load, Listener listener);
  ~WorkerLink();  // kills the process; nothing more is heard

  // overloaded when the worker is too far behind in reading, too_large; unavailable once it has ended.
  Status send(engine::RequestId request, const engine::Message& message);
  // Cancels and the like: small, few, and not refused for a full queue.
  void send_always(engine::RequestId request, const engine::Message& message);

  void set_silence(Duration silence);  // how long it may say nothing before it is killed as hung
  void set_memory_limit(Bytes most);   // PSS; 0: none
  [[nodiscard]] Bytes memory() const;  // last measured
  [[nodiscard]] int process_id() const;
  void stop();  // Shutdown, SIGTERM after the farewell, SIGKILL after the grace
  void kill(Error reason);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace skep::model
