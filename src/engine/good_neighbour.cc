#include "engine/good_neighbour.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
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

void GoodNeighbour::look(const Step& step) {
  stepping_ += step.took;
  if (step.tokens > 0) pace_.record(step.tokens, step.took);
  const TimePoint now = clock_.now();
  if (now - looked_ < std::chrono::seconds(1)) return;
  looked_ = now;
  const Duration stepping = std::exchange(stepping_, Duration(0));
  MachineSample seen = observer_.sample(stepping);
  seen.threads.pace = pace_.take();
  if (step.waits) {
    const Duration stalled = step.waits->stalled - std::exchange(stalled_, step.waits->stalled);
    const double share = stepping > Duration(0) ? std::min(1.0, seconds(stalled) / seconds(stepping)) : 0;
    seen.threads.stalled = share;
    if (++looks_ % kSpinLooks == 0) note_spin(step.waits->spin_turns, share);
  }
  adapt(seen, step.background);
}

void GoodNeighbour::adapt(const MachineSample& seen, bool background) {
  if (const auto change = threads_.observe(seen.threads)) {
    set_threads_(change->threads);
    note("threads", std::to_string(change->threads), change->why);
  }
  if (const auto change =
          affinity_.observe(seen.cpus, threads_.threads(), seen.threads.waited, seen.threads.stepping)) {
    apply_cpus(change->cpus);
    note("cpus", to_string(change->cpus), change->why);
  }
  if (const auto change = niceness_.observe(seen.threads, background)) {
    apply_niceness(change->niceness);
    note("niceness", std::to_string(change->niceness), change->why);
  }
}

// Told is what is another order of it, as a power of two.
void GoodNeighbour::note_spin(int turns, double stalled) {
  constexpr int kFactor = 4;
  const bool known = spin_turns_ > 0;
  if (known && turns < kFactor * spin_turns_ && kFactor * turns > spin_turns_) return;
  const bool more = turns > std::exchange(spin_turns_, turns);
  if (!known) return;
  note("spin", std::to_string(std::bit_floor(static_cast<unsigned>(turns))),
       more ? "waits ended soon" : fmt::format("steps stalled for {:.0f} % of their time", 100 * stalled));
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
