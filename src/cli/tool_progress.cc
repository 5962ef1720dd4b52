#include "cli/tool_progress.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <csignal>

#include "base/duration.h"

namespace skep::cli {
namespace {

constexpr auto kBetweenReports = std::chrono::milliseconds(250);

std::atomic<bool> stop_wanted{false};
void want_stop(int signal) {
  stop_wanted.store(true);
  std::signal(signal, SIG_DFL);  // the second one ends the process
}

}  // namespace

ToolProgress::ToolProgress(int descriptor) : descriptor_(descriptor), stage_began_(std::chrono::steady_clock::now()) {
  stop_wanted.store(false);
  std::signal(SIGINT, want_stop);
  std::signal(SIGTERM, want_stop);
  std::signal(SIGPIPE, SIG_IGN);
}

ToolProgress::~ToolProgress() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

void ToolProgress::done() { live_.clear(); }

model_tools::ProgressFn ToolProgress::heard() {
  return [this](const model_tools::Progress& now) { return show(now); };
}

bool ToolProgress::show(const model_tools::Progress& now) {
  const auto at = std::chrono::steady_clock::now();
  if (now.stage != stage_) stage_ = now.stage, stage_began_ = at, reported_ = {};
  if (descriptor_ >= 0 && (at - reported_ >= kBetweenReports || now.fraction >= 1)) {
    reported_ = at;
    tell({{"stage", now.stage}, {"fraction", now.fraction}, {"detail", now.detail}});
  }
  if (live_.due()) {
    const Duration spent = at - stage_began_;
    std::string left;
    if (now.fraction > 0.01 && now.fraction < 1) {
      const double rest = static_cast<double>(spent.count()) * (1 - now.fraction) / now.fraction;
      left = to_string(Duration(static_cast<int64_t>(rest))) + " left";
    }
    live_.show({fmt::format("{} {:3.0f} %  {}  {}  {}", bar(now.fraction, 24), now.fraction * 100, now.stage, left,
                            now.detail)});
  }
  return !stop_wanted.load();
}

void ToolProgress::tell(const boost::json::object& line) {
  if (descriptor_ < 0) return;
  const std::string text = boost::json::serialize(line) + "\n";
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(descriptor_, text.data() + at, text.size() - at);
    if (n < 0) {  // nobody listens any more
      descriptor_ = -1;
      return;
    }
    at += static_cast<size_t>(n);
  }
}

int ToolProgress::failed(const Error& error) {
  done();
  tell({{"error", {{"code", to_string(error.code)}, {"message", error.message}, {"hint", error.hint}}}});
  return cli::report(error);
}

void ToolProgress::result(const boost::json::object& result) {
  fmt::print("{}\n", boost::json::serialize(result));
  tell({{"result", result}});
}

void add_tool_options(CLI::App& command, ToolOptions& options) {
  command.add_flag("--json", options.json, "As JSON");
  command.add_option("--progress-fd", options.progress_descriptor, "Progress as JSON lines to this descriptor")
      ->group("");
}

}  // namespace skep::cli
