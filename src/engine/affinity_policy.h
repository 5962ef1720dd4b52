#pragma once
// Which CPUs our threads may run on while other processes want some of them: a pure decision, once a second. At the
// start all that we were given. Where fewer threads run than there are CPUs (thread_policy.h) and others keep to one of
// the CPUs, ours keep away from it, so that the kernel does not move a thread there in the middle of a step. As soon as
// that no longer fits (more threads, others moved, ours wait), all CPUs again; each time sooner than expected doubles
// the wait before the next try.

#include <optional>
#include <string>
#include <vector>

namespace skep::engine {

// What was seen over an interval.
struct CpuUse {
  int cpu = 0;
  double others = 0;  // share of the interval that other processes ran on it: 0..1
};

class AffinityPolicy {
 public:
  static constexpr double kTaken = 0.5;  // others
  static constexpr double kFree = 0.2;
  static constexpr double kWaited = 0.15;  // our threads in the run queue, of the time that they wanted to run
  static constexpr int kIntervals = 3;     // in a row, before CPUs are left
  static constexpr int kMostIntervals = 96;
  static constexpr int kBackIntervals = 2;  // in a row, before all are taken again

  explicit AffinityPolicy(std::vector<int> allowed) : allowed_(std::move(allowed)), cpus_(allowed_) {}

  struct Change {
    std::vector<int> cpus;
    std::string why;
  };
  // `use`: of every allowed CPU. `stepping`: we computed for most of the interval; else nothing is learned.
  std::optional<Change> observe(const std::vector<CpuUse>& use, int threads, double waited, bool stepping);

  [[nodiscard]] const std::vector<int>& cpus() const { return cpus_; }

 private:
  [[nodiscard]] bool restricted() const { return cpus_.size() < allowed_.size(); }
  Change back(std::string why);

  std::vector<int> allowed_, cpus_;
  int taken_ = 0;  // intervals in a row
  int unfit_ = 0;
  int wanted_ = kIntervals;
  int kept_ = 0;  // intervals since CPUs were left
};

// "0-2,5".
std::string to_string(const std::vector<int>& cpus);

}  // namespace skep::engine
