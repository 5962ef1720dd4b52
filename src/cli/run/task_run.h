#pragma once
// Feeds a task file to a daemon, in this process or elsewhere, and writes the results as they come: a bounded window of
// tasks is under way at any time, so that memory stays constant whatever the file's size. Lives on the event loop.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/statistics.h"
#include "api/backend.h"
#include "base/event_loop.h"
#include "cli/run/result_file.h"
#include "cli/run/task_file.h"

namespace skep::cli {

struct TaskRunOptions {
  int window = 256;     // tasks submitted and not ended
  bool strict = false;  // a broken line stops the run
  int max_tokens = 0;   // no answer is asked to be longer; 0: as the tasks say
  std::string model;    // every task goes there: a model, a tier, "auto"; empty: as the tasks say
  std::string caller;   // in whose name: contexts that one caller's tasks left are of no use to another's
};

// How many of the tasks with a known answer were answered rightly.
struct Accuracy {
  int64_t graded = 0, right = 0;
};

struct TaskRunCounts {
  int64_t read = 0;     // lines
  int64_t skipped = 0;  // done in an earlier run
  int64_t broken = 0;   // lines that are no task
  int64_t submitted = 0, finished = 0, failed = 0;
  int64_t completion_tokens = 0, prompt_tokens = 0, cached_tokens = 0;
  Accuracy accuracy;
  std::map<std::string, std::map<int, Accuracy>> by_tier_and_steps;
  std::map<std::string, std::set<std::string>> models_of_tier;  // that answered
};

class TaskRun {
 public:
  TaskRun(EventLoop& loop, api::TaskService& service, TaskFile& tasks, ResultFile& results, TaskRunOptions options);
  ~TaskRun();
  TaskRun(const TaskRun&) = delete;
  TaskRun& operator=(const TaskRun&) = delete;

  // `done` comes once, when the file's end is reached and every task ended, or after interrupt(), or on an I/O fault.
  void start(std::function<void(Status)> done);
  // Submits nothing more, takes back what has not started, lets what runs finish. What was taken back has no result, so
  // that the next run does it.
  void interrupt();
  // The same, and the run ends with `why`.
  void stop(Status why);

  [[nodiscard]] const TaskRunCounts& counts() const { return counts_; }
  [[nodiscard]] const agent::Statistics& statistics() const { return statistics_; }  // of this run alone
  [[nodiscard]] int under_way() const {
    return static_cast<int>(under_way_.size()) + static_cast<int>(waiting_.size());
  }
  // 0..1 by bytes of the file read, less what is still under way; nothing for a pipe.
  [[nodiscard]] std::optional<double> fraction() const;
  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }  // the first 20 broken lines

 private:
  struct Listener;
  void feed();
  void submit(TaskLine task);
  void ended(uint64_t key, Status written);
  void check_done();

  EventLoop& loop_;
  api::TaskService& service_;
  TaskFile& tasks_;
  ResultFile& results_;
  TaskRunOptions options_;
  TaskRunCounts counts_;
  agent::Statistics statistics_;
  std::vector<std::string> complaints_;
  std::unordered_map<uint64_t, std::shared_ptr<Listener>> under_way_;
  std::vector<TaskLine> waiting_;  // refused as overloaded: again after a pause
  std::function<void(Status)> done_;
  Status outcome_;
  uint64_t next_key_ = 1;
  bool at_end_ = false, stopping_ = false, feeding_ = false;
  TimerId pause_ = TimerId::none;
};

}  // namespace skep::cli
