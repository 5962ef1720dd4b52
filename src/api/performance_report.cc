#include "api/performance_report.h"

namespace skep::api {
namespace {

LatencyQuantiles quantiles(const agent::LatencyHistogram& h) {
  return {seconds(h.quantile(0.5)), seconds(h.quantile(0.95)), seconds(h.quantile(0.99)), h.count()};
}

PerformanceReport::Row row_of(const std::string& name, const agent::TaskStatistics& s) {
  PerformanceReport::Row row;
  row.name = name;
  row.tasks = s.finished;
  row.failed = s.failed;
  row.prompt_tokens = s.prompt_tokens;
  row.cached_tokens = s.cached_tokens;
  row.completion_tokens = s.completion_tokens;
  row.total = quantiles(s.total);
  row.queued = quantiles(s.queued);
  row.first_token = quantiles(s.first_token);
  return row;
}

}  // namespace

PerformanceReport performance_report(const agent::Statistics& statistics) {
  PerformanceReport report;
  for (const auto& [name, s] : statistics.tiers()) report.tiers.push_back(row_of(name, s));
  for (const auto& [name, s] : statistics.models()) report.models.push_back(row_of(name, s));
  return report;
}

}  // namespace skep::api
