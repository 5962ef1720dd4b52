#pragma once
// Runs model tools as jobs: one at a time, each a `skep model …` process at background priority, with its memory booked
// in the ledger like an engine's, so that it makes models leave or waits instead of taking what is not there; the
// system holds it to that (RLIMIT_DATA).

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/model_jobs.h"
#include "base/asio_event_loop.h"
#include "base/units.h"
#include "daemon/job_arguments.h"

namespace skep::model {
struct ChildExit;
}

namespace skep::daemon {

struct ModelJobOptions {
  std::string executable = "/proc/self/exe";
  std::vector<std::string> folders;  // the model folders
  int nice = 10;
  size_t most_queued = 16;                         // then overloaded
  size_t most_kept = 64;                           // that are over; the oldest are forgotten
  Duration stop_grace = std::chrono::seconds(30);  // to write a checkpoint, before SIGKILL
  Duration memory_retry = std::chrono::seconds(1);
  // Books the memory of a job: true, or false while room is being made; an error when there will never be any.
  std::function<Result<bool>(const std::string& owner, Bytes bytes)> book;
  std::function<void(const std::string& owner)> unbook;
};

class RunningModelJobs final : public api::ModelJobs {
 public:
  RunningModelJobs(AsioEventLoop& loop, ModelJobOptions options);
  ~RunningModelJobs() override;  // kills what runs
  RunningModelJobs(const RunningModelJobs&) = delete;
  RunningModelJobs& operator=(const RunningModelJobs&) = delete;

  Result<api::ModelJobId> start(api::ModelJobRequest request) override;
  Status cancel(api::ModelJobId job) override;
  [[nodiscard]] std::vector<api::ModelJobView> list() const override;
  [[nodiscard]] std::optional<api::ModelJobView> find(api::ModelJobId job) const override;

 private:
  struct Run;  // the process of the job that runs
  Status launch(const std::vector<std::string>& arguments);
  void next();                         // starts the first that waits, if none runs and its memory can be had
  void next_soon();                    // … with the next turn of the loop
  void hear(const std::string& line);  // of progress, from the process
  void read();                         // goes on hearing until the process ends
  void ended(const model::ChildExit& how);
  void over(api::ModelJobState state, std::optional<Error> error);
  api::ModelJobView& view(api::ModelJobId job) { return jobs_.at(job); }

  AsioEventLoop& loop_;
  ModelJobOptions options_;
  std::map<api::ModelJobId, api::ModelJobView> jobs_;
  std::map<api::ModelJobId, std::vector<std::string>> commands_;  // of those that wait
  std::deque<api::ModelJobId> queue_;
  std::shared_ptr<Run> run_;
  TimerId retry_ = TimerId::none;
  api::ModelJobId next_id_ = 1;
  std::shared_ptr<char> alive_ = std::make_shared<char>();  // what callbacks under way look at first
};

}  // namespace skep::daemon
