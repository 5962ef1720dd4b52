#pragma once
// A server under measurement (skep or a peer) as a child process: started on a free loopback port, waited for, ended.

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace skep::bench {

uint16_t free_port();

class ServerProcess {
 public:
  // Runs `command` (the first word is looked up in PATH unless it holds a slash) with its output in `log`, and waits
  // until GET `health` on 127.0.0.1:`port` answers 200.
  static Result<ServerProcess> start(std::vector<std::string> command, uint16_t port, const std::string& health,
                                     const std::string& log, Duration timeout);
  ServerProcess(ServerProcess&& other) noexcept;
  ServerProcess& operator=(ServerProcess&& other) noexcept;
  ~ServerProcess();  // SIGTERM, then SIGKILL to its process group after 5 s

  [[nodiscard]] int pid() const { return pid_; }
  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] Duration startup() const { return startup_; }  // until health answered

 private:
  ServerProcess(int pid, uint16_t port, Duration startup) : pid_(pid), port_(port), startup_(startup) {}
  int pid_ = 0;
  uint16_t port_ = 0;
  Duration startup_{};
};

// A process that spins on the last of the CPUs that this one may use, for as long as this object lives.
class BusyNeighbour {
 public:
  BusyNeighbour();
  ~BusyNeighbour();
  BusyNeighbour(const BusyNeighbour&) = delete;
  BusyNeighbour& operator=(const BusyNeighbour&) = delete;

 private:
  int pid_;
};

}  // namespace skep::bench
