#pragma once
// What became of the tasks, per tier, model and agent: counts, tokens, latency quantiles. Bounded memory: quantiles
// come from logarithmic buckets (5 % wide), rates from a ring of seconds.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/task.h"
#include "base/clock.h"

namespace skep::agent {

// Durations from 10 µs to about 30 min in buckets that grow by 5 %: a quantile is off by at most 2.5 %.
class LatencyHistogram {
 public:
  void add(Duration duration);
  [[nodiscard]] Duration quantile(double q) const;  // q in 0..1; 0 when empty
  [[nodiscard]] int64_t count() const { return count_; }

 private:
  static constexpr int kBuckets = 400;
  std::array<uint32_t, kBuckets> buckets_{};
  int64_t count_ = 0;
};

struct TaskStatistics {
  int64_t finished = 0, failed = 0, cancelled = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  LatencyHistogram total, queued, first_token;
};

class Statistics {
 public:
  void finished(const TaskResult& result, Duration first_token, TimePoint now);
  void failed(const std::string& tier, const std::string& model, const std::string& agent);
  void cancelled(const std::string& tier, const std::string& model);

  struct AgentCounts {
    int64_t done = 0, failed = 0, tokens = 0;
  };
  [[nodiscard]] const std::map<std::string, TaskStatistics>& tiers() const { return tiers_; }
  [[nodiscard]] const std::map<std::string, TaskStatistics>& models() const { return models_; }
  [[nodiscard]] AgentCounts agent(const std::string& name) const;
  [[nodiscard]] double tokens_per_second(TimePoint now) const;  // completion tokens, mean of the last minute

 private:
  static constexpr size_t kMostAgents = 100'000;  // counted one by one
  std::map<std::string, TaskStatistics> tiers_, models_;
  std::map<std::string, AgentCounts> agents_;
  struct Second {
    int64_t second = -1;
    int64_t tokens = 0;
  };
  std::array<Second, 60> ring_{};
};

}  // namespace skep::agent
