#pragma once
// How far a `skep model …` tool is: a bar with the time left on a terminal, JSON lines on a descriptor for the daemon's
// jobs, and Ctrl-C or SIGTERM as the tool's wish to stop, which then leaves no half file.

#include <boost/json/fwd.hpp>
#include <chrono>
#include <string>

#include "cli/terminal.h"
#include "model_tools/progress.h"

namespace CLI {
class App;
}

namespace skep::cli {

class ToolProgress {
 public:
  // `descriptor` -1: none. Takes over SIGINT and SIGTERM until it is destroyed; one at a time.
  explicit ToolProgress(int descriptor);
  ~ToolProgress();
  ToolProgress(const ToolProgress&) = delete;
  ToolProgress& operator=(const ToolProgress&) = delete;

  [[nodiscard]] model_tools::ProgressFn heard();  // valid while this lives
  void done();                                    // takes the bar away

  // Takes the bar away and says why it did not work out; the exit code.
  int failed(const Error& error);
  // What --json prints.
  void result(const boost::json::object& result);

 private:
  void tell(const boost::json::object& line);
  bool show(const model_tools::Progress& now);

  int descriptor_;
  LiveLines live_;
  std::string stage_;
  std::chrono::steady_clock::time_point stage_began_, reported_{};
};

// What all tools take.
struct ToolOptions {
  int progress_descriptor = -1;
  bool json = false;
};
void add_tool_options(CLI::App& command, ToolOptions& options);

}  // namespace skep::cli
