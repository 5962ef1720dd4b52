#pragma once
// A child process with a socket to it: started, watched and reaped on the event loop, without a SIGCHLD handler (a
// pidfd becomes readable when the process ends; other parts of the daemon may have children of their own).
//
// The child gets: the socket as descriptor 3 and no other descriptor of ours, /dev/null as input, its output in a pipe
// whose last lines are kept for error messages, its own process group, SIGKILL when we die.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/asio_event_loop.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"

namespace skep::model {

constexpr int kChildSocket = 3;  // the descriptor that the child finds its socket on

struct ChildOptions {
  std::string executable;
  std::vector<std::string> arguments;                            // without the program's name
  std::vector<std::pair<std::string, std::string>> environment;  // replaces what we have of the same name
  int nice = 0;                                                  // added to our own level, 0..19
  int oom_score_adj = 500;  // so that the kernel, out of memory, takes a worker and not the daemon
  Bytes data_limit;         // RLIMIT_DATA: of heap, stacks and private mappings; 0: ours. Mapped files don't count
};

struct ChildExit {
  int code = 0;
  int signal = 0;  // not 0: it was killed by this one
  // "exited with code 3", "was killed by signal 9 (SIGKILL)".
  [[nodiscard]] std::string text() const;
};

class ChildProcess {
 public:
  // `exited` is called once, on the loop, after the process was reaped. Not called once this object is destroyed.
  static Result<std::unique_ptr<ChildProcess>> start(AsioEventLoop& loop, const ChildOptions& options,
                                                     std::function<void(const ChildExit&)> exited);
  ~ChildProcess();  // kills it at once; it is reaped while the loop runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] int id() const;
  [[nodiscard]] int take_socket();  // our end, once; the caller closes it
  // The end of what it wrote, at most 4 KiB, without control characters.
  [[nodiscard]] std::string last_output() const;

  void terminate(Duration grace);  // SIGTERM to its group, SIGKILL after `grace` if it is still there
  void kill();                     // SIGKILL to its group

 private:
  struct State;
  explicit ChildProcess(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace skep::model
