#pragma once
// Counters, gauges and histograms for Prometheus. Recording only: nothing here decides or does anything.
//
// Names are skep_<what>_<base unit>[_total], e.g. skep_http_requests_total, skep_task_seconds, skep_ledger_bytes. A
// label takes few values (tier, model, reason), never an agent's or a task's id: a family holds at most
// `series_limit` label sets, and what comes after that is counted together under the value "other".
//
// Threads: everything may be called from any thread. Handles are cheap to copy, and valid as long as their Metrics.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace skep::telemetry {

using Labels = std::map<std::string, std::string>;

class Counter {
 public:
  void add(double amount = 1);  // amount >= 0; anything else is ignored

 private:
  friend class Metrics;
  explicit Counter(prometheus::Counter& counter) : counter_(&counter) {}
  prometheus::Counter* counter_;
};

class Gauge {
 public:
  void set(double value);
  void add(double amount);

 private:
  friend class Metrics;
  explicit Gauge(prometheus::Gauge& gauge) : gauge_(&gauge) {}
  prometheus::Gauge* gauge_;
};

class Histogram {
 public:
  void observe(double value);

 private:
  friend class Metrics;
  explicit Histogram(prometheus::Histogram& histogram) : histogram_(&histogram) {}
  prometheus::Histogram* histogram_;
};

// Upper bounds in seconds from 1 ms to 5 min, for latencies of requests and generations alike.
const std::vector<double>& latency_buckets();

class Metrics {
 public:
  static constexpr size_t series_limit = 200;  // label sets per family
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The same name and labels give the same series. A name keeps its kind, help, label names and buckets for good.
  // Breaking that, a name without "skep_", or a label called after an id ("agent", "task", "caller") is a bug
  // (assert).
  Counter counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram histogram(const std::string& name, const std::string& help, const Labels& labels = {},
                      const std::vector<double>& buckets = latency_buckets());

  // A counter of what counts itself elsewhere: it stands at `total` by now. Where `origin` is another one than the last
  // time (a worker's process), it began anew, and is added to what was counted before.
  void count_to(double total, const std::string& name, const std::string& help, const Labels& labels = {},
                int64_t origin = 0);

  [[nodiscard]] std::string render() const;  // text format 0.0.4, families sorted by name

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::telemetry
