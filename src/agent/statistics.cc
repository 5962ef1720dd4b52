#include "agent/statistics.h"

#include <algorithm>
#include <cmath>

namespace skep::agent {
namespace {

constexpr double kShortest = 10e-6;  // seconds, the first bucket's upper end
const double kGrowth = std::log(1.05);

int64_t second_of(TimePoint t) {
  return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count();
}

}  // namespace

void LatencyHistogram::add(Duration duration) {
  double s = std::max(seconds(duration), kShortest);
  int bucket = std::clamp(static_cast<int>(std::log(s / kShortest) / kGrowth), 0, kBuckets - 1);
  ++buckets_[static_cast<size_t>(bucket)];
  ++count_;
}

Duration LatencyHistogram::quantile(double q) const {
  if (count_ == 0) return Duration::zero();
  auto wanted = static_cast<int64_t>(std::ceil(q * static_cast<double>(count_)));
  int64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen < std::max<int64_t>(wanted, 1)) continue;
    double middle = kShortest * std::exp((static_cast<double>(i) + 0.5) * kGrowth);
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(middle));
  }
  return Duration::zero();
}

void Statistics::finished(const TaskResult& result, Duration first_token, TimePoint now) {
  auto add = [&](TaskStatistics& s) {
    ++s.finished;
    s.prompt_tokens += result.usage.prompt_tokens;
    s.cached_tokens += result.usage.cached_tokens;
    s.completion_tokens += result.usage.completion_tokens;
    s.total.add(result.total);
    s.queued.add(result.queued);
    s.first_token.add(first_token);
  };
  add(tiers_[result.route.tier]);
  add(models_[result.route.model]);
  if (!result.agent.empty() && (agents_.size() < kMostAgents || agents_.contains(result.agent))) {
    AgentCounts& counts = agents_[result.agent];
    ++counts.done;
    counts.tokens += result.usage.completion_tokens;
  }
  Second& slot = ring_[static_cast<size_t>(second_of(now)) % ring_.size()];
  if (slot.second != second_of(now)) slot = {second_of(now), 0};
  slot.tokens += result.usage.completion_tokens;
}

void Statistics::failed(const std::string& tier, const std::string& model, const std::string& agent) {
  ++tiers_[tier].failed;
  ++models_[model].failed;
  if (!agent.empty() && (agents_.size() < kMostAgents || agents_.contains(agent))) ++agents_[agent].failed;
}

void Statistics::cancelled(const std::string& tier, const std::string& model) {
  ++tiers_[tier].cancelled;
  ++models_[model].cancelled;
}

Statistics::AgentCounts Statistics::agent(const std::string& name) const {
  auto found = agents_.find(name);
  return found == agents_.end() ? AgentCounts{} : found->second;
}

double Statistics::tokens_per_second(TimePoint now) const {
  int64_t tokens = 0;
  for (const Second& slot : ring_) {
    if (slot.second >= 0 && second_of(now) - slot.second < static_cast<int64_t>(ring_.size())) tokens += slot.tokens;
  }
  return static_cast<double>(tokens) / static_cast<double>(ring_.size());
}

}  // namespace skep::agent
