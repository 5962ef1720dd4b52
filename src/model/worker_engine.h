#pragma once
// Engines in processes of their own (R6): `<executable> engine --fd 3`, one per loaded model, spoken to in the frames
// of engine/wire.h. Whatever happens to a worker ends as an Error at those who use it: it dies, hangs, sends garbage,
// takes more memory than was booked. Its process is always gone, and reaped, before anybody is told.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/asio_event_loop.h"
#include "base/clock.h"
#include "base/units.h"
#include "engine/worker_environment.h"
#include "model/engine.h"

namespace skep::model {

struct WorkerOptions {
  std::string executable = "/proc/self/exe";
  std::vector<std::string> arguments = {"engine", "--fd", "3"};
  std::vector<std::pair<std::string, std::string>> environment;  // beyond engine::worker_environment()
  // What the worker that is to load this may take of the host, asked at each start; empty: as much as it likes.
  std::function<Bytes(const engine::LoadOptions& load)> host_budget;
  int nice = 0;

  // Silence after which a worker counts as hung. It sends a heartbeat every second, also while a step runs.
  Duration silence = std::chrono::seconds(20);
  Duration load_silence = std::chrono::minutes(5);  // while loading: between two signs of progress
  // From Shutdown to SIGTERM: what an engine may take to park its sequences, and some time to end.
  Duration farewell = engine::kMostFarewell + std::chrono::seconds(2);
  Duration stop_grace = std::chrono::seconds(2);  // from SIGTERM to SIGKILL

  Bytes overhead = 64_MiB;       // of the process itself: code, libraries, vocabulary, allocator
  Bytes memory_slack = 128_MiB;  // more than its reservation plus this, measured as PSS, and it is killed
  Duration memory_poll = std::chrono::seconds(1);

  size_t most_requests = 4096;  // in flight, per worker; then overloaded
  Bytes most_unsent = 128_MiB;  // bytes that the worker has not read yet; then overloaded
};

class WorkerFactory final : public EngineFactory {
 public:
  WorkerFactory(AsioEventLoop& loop, WorkerOptions options);
  ~WorkerFactory() override;

  // Cached by the options and the file's size and time.
  void measure(const engine::LoadOptions& options, std::function<void(Result<engine::Loaded>)> done) override;
  void start(const engine::LoadOptions& options, std::function<void(Result<std::unique_ptr<Engine>>)> done) override;
  [[nodiscard]] Bytes overhead(const engine::LoadOptions& options) const override;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace skep::model
