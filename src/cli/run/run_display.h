#pragma once
// What a run shows while it goes on: a progress bar with rate and time left, memory against the budget, what each
// resident model does. Draws on stderr, on a terminal only; on a pipe, a line every ten seconds.

#include <map>
#include <string>
#include <vector>

#include "api/backend.h"
#include "base/event_loop.h"
#include "cli/run/task_run.h"
#include "cli/terminal.h"

namespace skep::cli {

class RunDisplay {
 public:
  RunDisplay(EventLoop& loop, api::TaskService& service, const TaskRun& run);
  ~RunDisplay();
  RunDisplay(const RunDisplay&) = delete;
  RunDisplay& operator=(const RunDisplay&) = delete;

  void stop();  // clears what was drawn
  [[nodiscard]] Bytes peak_memory() const { return peak_; }
  [[nodiscard]] Bytes peak_reserved() const { return peak_reserved_; }
  // By model: the most that was booked for its engine, GPUs included, at the moments that were looked at.
  [[nodiscard]] const std::map<std::string, Bytes>& peak_by_model() const { return peak_by_model_; }

 private:
  void tick();
  void look(const api::ResourceUsage& usage);
  [[nodiscard]] std::vector<std::string> lines(const api::ResourceUsage& usage) const;

  EventLoop& loop_;
  api::TaskService& service_;
  const TaskRun& run_;
  LiveLines live_;
  TimePoint began_;
  TimePoint last_plain_;
  TimerId timer_ = TimerId::none;
  Bytes peak_, peak_reserved_;
  std::map<std::string, Bytes> peak_by_model_;
};

}  // namespace skep::cli
