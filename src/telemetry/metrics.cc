#include "telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cassert>
#include <map>
#include <mutex>

namespace skep::telemetry {

namespace {

// What one name stands for: the kind is fixed by the table that the family lives in.
template <typename Metric>
struct FamilyRecord {
  prometheus::Family<Metric>* family;
  std::map<Labels, Metric*> series;
};

[[maybe_unused]] bool allowed_label(const std::string& name) {
  return name != "agent" && name != "agent_id" && name != "task" && name != "task_id" && name != "caller";
}

Labels all_other(Labels labels) {
  for (auto& [name, value] : labels) value = "other";
  return labels;
}

template <typename Metric>
using Families = std::map<std::string, FamilyRecord<Metric>>;

template <typename Metric, typename Builder, typename... Extra>
Metric& series_of(Families<Metric>& families, prometheus::Registry& registry, Builder builder, const std::string& name,
                  const std::string& help, const Labels& labels, const Extra&... extra) {
  assert(name.rfind("skep_", 0) == 0);
  assert(std::all_of(labels.begin(), labels.end(), [](const auto& label) { return allowed_label(label.first); }));
  auto found = families.find(name);
  if (found == families.end()) {
    auto& family = builder().Name(name).Help(help).Register(registry);
    found = families.emplace(name, FamilyRecord<Metric>{&family, {}}).first;
  }
  auto& record = found->second;
  // Family::Add() makes a metric before it looks whether there is one: not for every request.
  if (auto known = record.series.find(labels); known != record.series.end()) return *known->second;
  if (record.series.size() >= Metrics::series_limit) return record.family->Add(all_other(labels), extra...);
  Metric& made = record.family->Add(labels, extra...);
  record.series.emplace(labels, &made);
  return made;
}

}  // namespace

void Counter::add(double amount) {
  if (amount >= 0) counter_->Increment(amount);
}
void Gauge::set(double value) { gauge_->Set(value); }
void Gauge::add(double amount) { gauge_->Increment(amount); }
void Histogram::observe(double value) { histogram_->Observe(value); }

const std::vector<double>& latency_buckets() {
  static const std::vector<double> buckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                              1,     2.5,    5,     10,   30,    60,   120, 300};
  return buckets;
}

struct Metrics::Impl {
  std::mutex mutex;  // of the tables; the metrics themselves are atomic
  prometheus::Registry registry;
  Families<prometheus::Counter> counters;
  Families<prometheus::Gauge> gauges;
  Families<prometheus::Histogram> histograms;
  struct Total {
    int64_t origin = 0;
    double value = 0;
  };
  std::map<const prometheus::Counter*, Total> totals;  // of count_to(), as they were said last
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

Counter Metrics::counter(const std::string& name, const std::string& help, const Labels& labels) {
  assert(name.ends_with("_total"));
  std::lock_guard lock(impl_->mutex);
  return Counter(series_of(impl_->counters, impl_->registry, prometheus::BuildCounter, name, help, labels));
}

Gauge Metrics::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  assert(!name.ends_with("_total"));
  std::lock_guard lock(impl_->mutex);
  return Gauge(series_of(impl_->gauges, impl_->registry, prometheus::BuildGauge, name, help, labels));
}

Histogram Metrics::histogram(const std::string& name, const std::string& help, const Labels& labels,
                             const std::vector<double>& buckets) {
  std::lock_guard lock(impl_->mutex);
  return Histogram(
      series_of(impl_->histograms, impl_->registry, prometheus::BuildHistogram, name, help, labels, buckets));
}

void Metrics::count_to(double total, const std::string& name, const std::string& help, const Labels& labels,
                       int64_t origin) {
  assert(name.ends_with("_total"));
  std::lock_guard lock(impl_->mutex);
  auto& counter = series_of(impl_->counters, impl_->registry, prometheus::BuildCounter, name, help, labels);
  Impl::Total& last = impl_->totals[&counter];
  Counter(counter).add(origin != last.origin ? total : total - last.value);
  last = {origin, total};
}

std::string Metrics::render() const {
  auto families = impl_->registry.Collect();
  std::sort(families.begin(), families.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace skep::telemetry
