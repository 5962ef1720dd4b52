#include "cli/run/run_display.h"

#include <algorithm>

#include "base/duration.h"

namespace skep::cli {

namespace {

constexpr auto kFrame = std::chrono::milliseconds(200);
constexpr auto kPlainLine = std::chrono::seconds(10);
constexpr int kBar = 20;  // characters: the lines beside it fit a terminal of 80

}  // namespace

RunDisplay::RunDisplay(EventLoop& loop, api::TaskService& service, const TaskRun& run)
    : loop_(loop), service_(service), run_(run), began_(loop.now()), last_plain_(loop.now()) {
  tick();
}

RunDisplay::~RunDisplay() {
  loop_.cancel(timer_);
  live_.clear();
}

void RunDisplay::stop() {
  if (timer_ != TimerId::none) look(service_.resources());  // a short run is over before the second frame
  loop_.cancel(std::exchange(timer_, TimerId::none));
  live_.clear();
}

void RunDisplay::look(const api::ResourceUsage& usage) {
  peak_ = std::max(peak_, usage.measured);
  peak_reserved_ = std::max(peak_reserved_, usage.reserved);
  for (const api::RunningModel& model : service_.running()) {
    Bytes& most = peak_by_model_[model.info.name];
    most = std::max(most, model.host_bytes + model.gpu_bytes);
  }
}

void RunDisplay::tick() {
  auto usage = service_.resources();
  look(usage);
  if (live_.is_terminal()) {
    live_.show(lines(usage));
  } else if (loop_.now() - last_plain_ >= kPlainLine) {
    last_plain_ = loop_.now();
    for (const std::string& line : lines(usage)) fmt::print(stderr, "{}\n", line);
  }
  timer_ = loop_.after(kFrame, [this] { tick(); });
}

std::vector<std::string> RunDisplay::lines(const api::ResourceUsage& usage) const {
  const TaskRunCounts& counts = run_.counts();
  Duration elapsed = loop_.now() - began_;
  double per_second =
      seconds(elapsed) > 0 ? static_cast<double>(counts.finished + counts.failed) / seconds(elapsed) : 0;
  std::vector<std::string> out;

  auto fraction = run_.fraction();
  std::string left;
  if (fraction && *fraction > 0.01) {
    left = ", " + to_string(std::chrono::duration_cast<Duration>(elapsed * (1 / *fraction - 1))) + " left";
  }
  const std::string failed = counts.failed > 0 ? human_count(counts.failed) + " failed, " : "";
  out.push_back(fmt::format("tasks   {} {:>4}  {} done, {}{} under way, {:.{}f}/s{}", bar(fraction.value_or(0), kBar),
                            fraction ? fmt::format("{:.0f} %", *fraction * 100) : "", human_count(counts.finished),
                            failed, run_.under_way(), per_second, per_second < 100 ? 1 : 0, left));
  double used =
      usage.budget.count > 0 ? static_cast<double>(usage.measured.count) / static_cast<double>(usage.budget.count) : 0;
  out.push_back(fmt::format("memory  {} {:>3.0f} %  {} of {} ({} reserved)", bar(used, kBar), used * 100,
                            to_string(usage.measured), to_string(usage.budget), to_string(usage.reserved)));
  for (const api::RunningModel& model : service_.running()) {
    double busy = model.slots > 0 ? static_cast<double>(model.generating) / model.slots : 0;
    out.push_back(fmt::format("{:<7} {} {:>3}/{}  {} waiting, {}", model.state, bar(busy, kBar), model.generating,
                              model.slots, model.waiting, model.info.name));
  }
  return out;
}

}  // namespace skep::cli
