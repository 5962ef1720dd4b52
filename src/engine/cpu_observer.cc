#include "engine/cpu_observer.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace skep::engine {
namespace {

// Field 39 of /proc/…/stat. The name in field 2 may hold anything, so counting begins behind its last parenthesis.
int last_cpu(const std::filesystem::path& stat) {
  std::ifstream file(stat);
  std::string line;
  std::getline(file, line);
  const size_t name = line.rfind(')');
  if (name == std::string::npos) return -1;
  std::istringstream rest(line.substr(name + 1));
  std::string field;
  for (int number = 3; number <= 39 && rest >> field; ++number) {
    if (number == 39) return std::atoi(field.c_str());
  }
  return -1;
}

}  // namespace

// some avg10=1.35 avg60=37.49 avg300=68.95 total=24179837060
std::optional<double> pressed_seconds(std::string_view text) {
  constexpr std::string_view kSome = "some ", kTotal = " total=";
  const std::string_view line = text.substr(0, text.find('\n'));
  const size_t at = line.find(kTotal);
  if (!line.starts_with(kSome) || at == std::string_view::npos) return std::nullopt;
  const char* begin = line.data() + at + kTotal.size();
  int64_t microseconds = 0;
  if (std::from_chars(begin, line.data() + line.size(), microseconds).ec != std::errc()) return std::nullopt;
  return static_cast<double>(microseconds) * 1e-6;
}

CpuObserver::CpuObserver() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) allowed_.push_back(cpu);
  }
}

CpuObserver::Counters CpuObserver::read() {
  Counters c;
  std::error_code failed;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", failed)) {
    std::ifstream file(task.path() / "schedstat");  // ns on a core, ns in the run queue, slices
    double ran = 0;
    double waited = 0;
    if (!(file >> ran >> waited)) continue;
    c.threads[task.path().filename().string()] = {ran * 1e-9, waited * 1e-9, last_cpu(task.path() / "stat")};
  }
  std::string pressure;
  if (std::ifstream file("/proc/pressure/cpu"); std::getline(file, pressure)) c.pressed = pressed_seconds(pressure);
  std::ifstream stat("/proc/stat");  // cpuN user nice system idle iowait irq softirq steal, in ticks
  const auto tick = 1 / static_cast<double>(sysconf(_SC_CLK_TCK));
  for (std::string line; std::getline(stat, line) && line.starts_with("cpu");) {
    std::istringstream words(line);
    std::string name;
    double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
    if (!(words >> name >> user >> nice >> system >> idle >> wait >> irq >> soft >> steal) || name == "cpu") continue;
    c.cores[std::atoi(name.c_str() + 3)] = {(user + nice + system + irq + soft) * tick, (idle + wait) * tick,
                                            steal * tick};
  }
  return c;
}

MachineSample CpuObserver::sample(Duration stepping) {
  Counters now = read();
  const TimePoint at = clock_.now();
  const double interval = seconds(at - at_);
  MachineSample sample;
  if (at_ != TimePoint{} && interval > 0) {
    double ran = 0, waited = 0, idle = 0, steal = 0;
    std::map<int, double> ours;  // seconds by CPU: a thread's time counts where it ran last
    for (const auto& [id, thread] : now.threads) {
      const auto before = last_.threads.find(id);
      const Thread begin = before == last_.threads.end() ? Thread{} : before->second;
      ran += std::max(0.0, thread.ran - begin.ran);
      waited += std::max(0.0, thread.waited - begin.waited);
      ours[thread.cpu] += std::max(0.0, thread.ran - begin.ran);
    }
    for (const auto& [cpu, core] : now.cores) {
      const auto before = last_.cores.find(cpu);
      if (before == last_.cores.end()) continue;
      idle += std::max(0.0, core.idle - before->second.idle);
      const double stolen = std::max(0.0, core.steal - before->second.steal);
      steal += stolen;
      if (std::find(allowed_.begin(), allowed_.end(), cpu) == allowed_.end()) continue;
      const double others = core.busy - before->second.busy - ours[cpu] + stolen;
      sample.cpus.push_back({cpu, std::clamp(others / interval, 0.0, 1.0)});
    }
    // A stolen core is one that we wait for as well; half of it is ours at least, as we are who computes.
    waited += 0.5 * steal;
    sample.threads.waited = ran + waited > 0 ? waited / (ran + waited) : 0;
    sample.threads.idle_cores = idle / interval;
    if (now.pressed && last_.pressed) {
      sample.threads.pressure = std::clamp((*now.pressed - *last_.pressed) / interval, 0.0, 1.0);
    }
    sample.threads.stepping = seconds(stepping) > 0.5 * interval;
  }
  last_ = std::move(now);
  at_ = at;
  return sample;
}

}  // namespace skep::engine
