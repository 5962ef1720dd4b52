#pragma once
// What a run was: per tier and per model, as a table for people and as JSON for programs.

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <map>
#include <string>

#include "api/backend.h"
#include "cli/run/task_run.h"

namespace skep::cli {

struct RunSummary {
  TaskRunCounts counts;
  api::PerformanceReport performance;  // of this run, whatever else the daemon did
  Duration wall{};
  Bytes peak_memory, budget;                     // PSS of the process tree; what the ledger allows
  Bytes peak_reserved;                           // the most that was booked at one moment
  std::map<std::string, Bytes> memory_of_model;  // the most that was booked for its engine
  int64_t resumed = 0;
  bool interrupted = false;
  std::map<std::string, int64_t> loads_before;  // by model: what the daemon had loaded before the run
};

// What was booked for the engines of a tier, each at its most; 0: none was seen.
Bytes memory_of_tier(const RunSummary& summary, const std::string& tier);

// The loads of the run, by what the daemon says now. May be said again when it knows more.
void count_loads(RunSummary& summary, const api::PerformanceReport& now);

void print_table(const RunSummary& summary);
boost::json::object to_json(const RunSummary& summary);
std::string percent(const Accuracy& accuracy);     // "93 %"; empty where nothing was graded
std::string percent(int64_t part, int64_t whole);  // the same

}  // namespace skep::cli
