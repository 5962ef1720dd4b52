#include "daemon/process_usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <thread>
#include <utility>

#include "base/process_cpu.h"
#include "model/memory_budget.h"
#include "model/process_memory.h"

namespace skep::daemon {
namespace {

constexpr auto kEvery = std::chrono::seconds(1);
constexpr auto kAtMostEvery = std::chrono::milliseconds(150);

double seconds_of(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; }

// This process, the children that ended, and those that run.
double tree_cpu_seconds() {
  double sum = 0;
  rusage ended{};
  if (getrusage(RUSAGE_CHILDREN, &ended) == 0) sum += seconds_of(ended.ru_utime) + seconds_of(ended.ru_stime);
  sum += process_cpu_seconds(getpid()).value_or(0);
  std::string self = std::to_string(getpid());
  std::ifstream children("/proc/" + self + "/task/" + self + "/children");
  for (int pid = 0; children >> pid;) sum += process_cpu_seconds(pid).value_or(0);
  return sum;
}

}  // namespace

ProcessUsage::ProcessUsage(EventLoop& loop) : loop_(loop), cpu_seconds_(tree_cpu_seconds()), measured_at_(loop.now()) {
  measure();
}

ProcessUsage::~ProcessUsage() {
  *alive_ = false;
  loop_.cancel(timer_);
}

void ProcessUsage::look() {
  if (timer_ == TimerId::none || loop_.now() - measured_at_ < kAtMostEvery) return;
  loop_.cancel(std::exchange(timer_, TimerId::none));
  measure();
}

void ProcessUsage::measure() {
  struct Work {
    Sample sample;
    double cpu = 0;
  };
  auto work = std::make_shared<Work>();
  auto read = [work] {
    work->sample.tree = model::process_tree_memory(getpid()).value_or(Bytes(0));
    work->sample.itself = model::process_memory(getpid()).value_or(Bytes(0));
    if (auto machine = model::read_machine_memory()) {
      work->sample.memory_total = machine->total;
      work->sample.memory_available = machine->available;
    }
    work->cpu = tree_cpu_seconds();
  };
  loop_.blocking(read, [this, work, alive = alive_] {
    if (!*alive) return;
    double elapsed = seconds(loop_.now() - measured_at_);
    unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    if (elapsed > 0) work->sample.cpu_percent = std::max(0.0, (work->cpu - cpu_seconds_) / elapsed / cores * 100);
    cpu_seconds_ = work->cpu;
    measured_at_ = loop_.now();
    last_ = work->sample;
    if (heard_) heard_(last_);
    timer_ = loop_.after(kEvery, [this] {
      timer_ = TimerId::none;
      measure();
    });
  });
}

}  // namespace skep::daemon
