#include "engine/good_neighbour.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <thread>
#include <utility>

namespace skep::engine {
namespace {

int own_niceness() {
  errno = 0;
  const int niceness = getpriority(PRIO_PROCESS, 0);
  return errno == 0 ? niceness : 0;
}

// Tried on a thread of its own, which then ends: the kernel keeps niceness by thread.
bool may_lower_niceness() {
  bool may = false;
  std::thread([&may] {
    const int start = own_niceness();
    const auto self = static_cast<id_t>(syscall(SYS_gettid));
    may = setpriority(PRIO_PROCESS, self, start + 1) == 0 && setpriority(PRIO_PROCESS, self, start) == 0;
  }).join();
  return may;
}

template <typename Act>
void for_each_thread(const Act& act) {
  std::error_code failed;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", failed)) {
    act(static_cast<pid_t>(std::atoi(task.path().filename().c_str())));
  }
}

}  // namespace

GoodNeighbour::GoodNeighbour(int threads, std::function<void(int)> set_threads)
    : set_threads_(std::move(set_threads)),
      threads_(threads),
      affinity_(observer_.allowed()),
      niceness_(own_niceness(), may_lower_niceness()) {}

void GoodNeighbour::look(Duration stepping, bool background) {
  stepping_ += stepping;
  const TimePoint now = clock_.now();
  if (now - looked_ < std::chrono::seconds(1)) return;
  looked_ = now;
  const MachineSample seen = observer_.sample(std::exchange(stepping_, Duration(0)));
  // A forward pass that minds others by itself counts on all its CPUs.
  if (set_threads_) {
    if (const auto change = threads_.observe(seen.threads)) {
      set_threads_(change->threads);
      note("threads", std::to_string(change->threads), change->why);
    }
    if (const auto change =
            affinity_.observe(seen.cpus, threads_.threads(), seen.threads.waited, seen.threads.stepping)) {
      apply_cpus(change->cpus);
      note("cpus", to_string(change->cpus), change->why);
    }
  }
  if (const auto change =
          niceness_.observe(seen.threads.waited, seen.threads.idle_cores, background, seen.threads.stepping)) {
    apply_niceness(change->niceness);
    note("niceness", std::to_string(change->niceness), change->why);
  }
}

void GoodNeighbour::urgent() {
  if (const auto change = niceness_.urgent()) {
    apply_niceness(change->niceness);
    note("niceness", std::to_string(change->niceness), change->why);
  }
}

void GoodNeighbour::apply_cpus(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  for_each_thread([&](pid_t thread) { sched_setaffinity(thread, sizeof set, &set); });
}

void GoodNeighbour::apply_niceness(int niceness) {
  for_each_thread([&](pid_t thread) { setpriority(PRIO_PROCESS, static_cast<id_t>(thread), niceness); });
}

void GoodNeighbour::note(std::string setting, std::string to, std::string why) {
  ++change_count_;
  const auto since_epoch = clock_.wall().time_since_epoch();
  changes_.push_back({std::move(setting), std::move(to), std::move(why),
                      std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count()});
  if (changes_.size() > kRemembered) changes_.pop_front();
}

void GoodNeighbour::report(Heartbeat& heartbeat) const {
  heartbeat.threads = threads_.threads();
  heartbeat.cpus = to_string(affinity_.cpus());
  heartbeat.niceness = niceness_.niceness();
  heartbeat.policy_changes = change_count_;
  heartbeat.changes.assign(changes_.begin(), changes_.end());
}

}  // namespace skep::engine
