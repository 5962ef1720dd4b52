#include "telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::telemetry {
namespace {

using testing::HasSubstr;

TEST(Metrics, RendersTheTextFormat) {
  Metrics metrics;
  metrics.counter("skep_requests_total", "Requests answered.", {{"status", "200"}}).add();
  metrics.counter("skep_requests_total", "Requests answered.", {{"status", "200"}}).add(2);
  metrics.gauge("skep_ledger_bytes", "Bytes reserved.").set(4096);
  metrics.histogram("skep_wait_seconds", "Time in the queue.", {}, {0.1, 1}).observe(0.5);
  EXPECT_EQ(metrics.render(),
            "# HELP skep_ledger_bytes Bytes reserved.\n"
            "# TYPE skep_ledger_bytes gauge\n"
            "skep_ledger_bytes 4096\n"
            "# HELP skep_requests_total Requests answered.\n"
            "# TYPE skep_requests_total counter\n"
            "skep_requests_total{status=\"200\"} 3\n"
            "# HELP skep_wait_seconds Time in the queue.\n"
            "# TYPE skep_wait_seconds histogram\n"
            "skep_wait_seconds_count 1\n"
            "skep_wait_seconds_sum 0.5\n"
            "skep_wait_seconds_bucket{le=\"0.1\"} 0\n"
            "skep_wait_seconds_bucket{le=\"1\"} 1\n"
            "skep_wait_seconds_bucket{le=\"+Inf\"} 1\n");
}

TEST(Metrics, EscapesLabelValues) {
  Metrics metrics;
  metrics.gauge("skep_models", "Models.", {{"model", "a\"b\\c\nd"}}).set(1);
  EXPECT_THAT(metrics.render(), HasSubstr(R"(skep_models{model="a\"b\\c\nd"} 1)"));
}

TEST(Metrics, ACounterNeverFalls) {
  Metrics metrics;
  auto counter = metrics.counter("skep_things_total", "Things.");
  counter.add(3);
  counter.add(-1);
  EXPECT_THAT(metrics.render(), HasSubstr("skep_things_total 3\n"));
}

TEST(Metrics, WhatCountsItselfElsewhereGoesOnOverItsRestarts) {
  Metrics metrics;
  const auto stands_at = [&](double total, int64_t process) {
    metrics.count_to(total, "skep_tokens_total", "Tokens.", {{"model", "m"}}, process);
    return metrics.render();
  };
  EXPECT_THAT(stands_at(5, 1), HasSubstr("# TYPE skep_tokens_total counter\nskep_tokens_total{model=\"m\"} 5\n"));
  EXPECT_THAT(stands_at(7, 1), HasSubstr("} 7\n"));
  EXPECT_THAT(stands_at(7, 1), HasSubstr("} 7\n"));
  EXPECT_THAT(stands_at(3, 2), HasSubstr("} 10\n"));
  EXPECT_THAT(stands_at(9, 3), HasSubstr("} 19\n"));
}

TEST(Metrics, CountsLabelSetsBeyondTheLimitTogether) {
  Metrics metrics;
  for (size_t i = 0; i < Metrics::series_limit + 50; ++i) {
    metrics.counter("skep_loads_total", "Loads.", {{"model", "m" + std::to_string(i)}}).add();
  }
  auto text = metrics.render();
  EXPECT_THAT(text, HasSubstr("skep_loads_total{model=\"m199\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("skep_loads_total{model=\"other\"} 50\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("m200")));
}

#ifndef NDEBUG
TEST(MetricsDeathTest, RefusesAForeignPrefixAndLabelsWithIds) {
  Metrics metrics;
  EXPECT_DEATH(metrics.counter("requests_total", "No prefix."), "skep_");
  EXPECT_DEATH(metrics.counter("skep_requests", "No counter's name."), "_total");
  EXPECT_DEATH(metrics.gauge("skep_requests_total", "A counter's name."), "_total");
  EXPECT_DEATH(metrics.gauge("skep_tokens", "By agent.", {{"agent", "dev-1"}}), "allowed_label");
}
#endif

}  // namespace
}  // namespace skep::telemetry
