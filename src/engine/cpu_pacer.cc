#include "engine/cpu_pacer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/process_cpu.h"

namespace skep::engine {
namespace {

constexpr double kAtWork = 0.1;  // cores: an engine that only waits takes less

double own_cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The daemon and its children but this one.
std::map<int, double> others_now(int daemon) {
  std::map<int, double> found;
  const auto add = [&](int process) {
    if (process == getpid()) return;
    if (const auto used = process_cpu_seconds(process)) found[process] = *used;
  };
  add(daemon);
  std::error_code failed;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", daemon), failed)) {
    std::ifstream file(task.path() / "children");
    for (int child = 0; file >> child;) add(child);
  }
  return found;
}

}  // namespace

void CpuPacer::look() {
  const TimePoint now = clock_.now();
  const double used = own_cpu_seconds();
  const Duration since = now - looked_;
  if (since >= std::chrono::seconds(1)) {
    if (looked_ != TimePoint{}) busy_ = (used - used_then_) / seconds(since);
    if (ceiling_.limited()) look_at_others(looked_ == TimePoint{} ? Duration::zero() : since);
    looked_ = now;
    used_then_ = used;
  }
  const Duration rest = ceiling_.used(used, now);
  rested_ += rest;
  rest_until_ = now + rest;
}

void CpuPacer::look_at_others(Duration since) {
  const int daemon = getppid();
  std::map<int, double> now = others_now(daemon);
  double at_daemon = 0, at_engines = 0;  // cores
  int at_work = 0;
  for (const auto& [process, used] : now) {
    const auto before = others_.find(process);
    if (before == others_.end() || since <= Duration::zero()) continue;
    const double busy = std::max(0.0, used - before->second) / seconds(since);
    (process == daemon ? at_daemon : at_engines) += busy;
    at_work += process != daemon && busy > kAtWork ? 1 : 0;
  }
  others_ = std::move(now);
  ceiling_.others(at_daemon, at_engines, at_work);
}

void CpuPacer::report(Heartbeat& heartbeat) const {
  heartbeat.cpu_cores = busy_;
  heartbeat.cpu_allowed = ceiling_.limited() ? ceiling_.allowed() : 0;
  heartbeat.cpu_rested = seconds(rested_);
}

}  // namespace skep::engine
