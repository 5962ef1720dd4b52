#pragma once
// A daemon elsewhere as the place where tasks are done: `skep run --url`. One streamed request for each task under way,
// over a pool of connections; what the daemon has and does is asked for every second. On the event loop.
//
// A daemon that doesn't answer for a moment (it restarts, say) costs no task: those under way are failed as overloaded,
// which the run takes as "later". Only after `patience` without an answer is it lost.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "api/backend.h"
#include "base/asio_event_loop.h"
#include "model/http_client.h"

namespace skep::cli {

class RemoteTasks final : public api::TaskService {
 public:
  // `most` tasks at once. invalid_argument for an address that is none.
  static Result<std::unique_ptr<RemoteTasks>> make(AsioEventLoop& loop, const std::string& url, const std::string& key,
                                                   int most, Duration patience = std::chrono::seconds(30));
  ~RemoteTasks() override;  // cancels everything; no listener hears more

  // Asks once: is it there, does it know us? Then the numbers below are known, and kept up to date.
  void begin(std::function<void(Status)> done);
  // The numbers as they are now.
  void refresh(std::function<void(Status)> done);
  // Called once, when the daemon has not answered for `patience`.
  void on_lost(std::function<void(const Error&)> heard) { lost_ = std::move(heard); }

  agent::TaskId submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) override;
  void cancel(agent::TaskId task) override;
  [[nodiscard]] std::vector<api::RunningModel> running() const override { return running_; }
  [[nodiscard]] api::ResourceUsage resources() const override { return usage_; }
  [[nodiscard]] api::PerformanceReport performance() const override { return performance_; }

 private:
  struct Task;

  RemoteTasks(AsioEventLoop& loop, std::string url, Duration patience);
  void heard(agent::TaskId id, std::string_view data);
  void ended(agent::TaskId id, const Status& status);
  void fail_task(agent::TaskId id, Error error, std::optional<Duration> retry_after);
  void watch();

  AsioEventLoop& loop_;
  const std::string url_;
  const Duration patience_;
  std::unique_ptr<model::HttpClient> client_;
  std::map<agent::TaskId, std::shared_ptr<Task>> tasks_;
  agent::TaskId next_ = 1;
  std::vector<api::RunningModel> running_;
  api::ResourceUsage usage_;
  api::PerformanceReport performance_;
  TimePoint answered_;  // the last time that the daemon did
  TimerId timer_ = TimerId::none;
  std::function<void(const Error&)> lost_;
};

}  // namespace skep::cli
