#pragma once
// What every `skep bench X` prints: one JSON object with --json, a table otherwise. Also the median of interleaved
// runs.

#include <optional>
#include <string>
#include <vector>

namespace skep::bench {

struct Row {
  std::string name;
  double value = 0;
  std::string unit;
  std::optional<std::string> peer;  // who it is compared with
  std::optional<double> peer_value;
  std::optional<double> ratio;       // how many times better than the peer; above 1 is better
  std::optional<std::string> limit;  // what the machine could do: "measured FMA peak"
  std::optional<double> fraction;    // of that limit
  std::optional<std::string> bar;    // the promise, as text: ">= 1.0 x"
  std::optional<bool> met;
};

struct Report {
  std::string bench;
  std::vector<Row> rows;
  std::vector<std::string> notes;  // below the table; in the JSON as "notes"
};

std::string machine_name();  // processor, cores, instruction sets that matter
std::string commit_name();   // of the build, "unknown" outside a checkout

// Prints to stdout.
void print(const Report& report, bool json);

double median(std::vector<double> values);
double quantile(std::vector<double> values, double q);  // q in 0..1, linear between neighbours; 0 when empty

// A quantile of latencies under a promise: "0.21 ms, p99 of WHAT; < 1 ms". `what` may be empty.
Row latency_row(std::string name, const std::vector<double>& seconds, double q, double most_ms,
                const std::string& what = {});

}  // namespace skep::bench
