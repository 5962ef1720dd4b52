#include "report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <thread>

#include "cli/terminal.h"

namespace skep::bench {
namespace {

namespace json = boost::json;

template <typename T>
json::value or_null(const std::optional<T>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

// Three significant digits, thousands in full.
std::string number(double value) {
  double size = std::abs(value);
  if (size >= 100) return cli::human_count(static_cast<int64_t>(std::llround(value)));
  return fmt::format("{:.{}f}", value, size >= 10 ? 1 : size >= 1 ? 2 : 4);
}

}  // namespace

std::string machine_name() {
  std::string model = "unknown processor";
  std::string flags;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    auto colon = line.find(": ");
    if (colon == line.npos) continue;
    if (line.starts_with("model name")) model = line.substr(colon + 2);
    if (line.starts_with("flags") || line.starts_with("Features")) {
      flags = line.substr(colon + 1) + " ";
      break;
    }
  }
  std::string sets;
  for (const char* name : {"avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimddp", "i8mm"}) {
    if (flags.find(std::string(" ") + name + " ") != flags.npos) sets += std::string(sets.empty() ? "" : " ") + name;
  }
  return fmt::format("{}, {} cores, {}", model, std::thread::hardware_concurrency(), sets.empty() ? "baseline" : sets);
}

std::string commit_name() {
#ifdef SKEP_COMMIT
  return SKEP_COMMIT;
#else
  return "unknown";
#endif
}

void print(const Report& report, bool as_json) {
  if (as_json) {
    json::array results;
    for (const Row& row : report.rows) {
      results.push_back({{"name", row.name},
                         {"value", row.value},
                         {"unit", row.unit},
                         {"peer", or_null(row.peer)},
                         {"peer_value", or_null(row.peer_value)},
                         {"ratio", or_null(row.ratio)},
                         {"limit", or_null(row.limit)},
                         {"fraction", or_null(row.fraction)},
                         {"bar", or_null(row.bar)},
                         {"met", or_null(row.met)}});
    }
    json::array notes(report.notes.begin(), report.notes.end());
    json::object all = {{"bench", report.bench},
                        {"machine", machine_name()},
                        {"commit", commit_name()},
                        {"results", std::move(results)},
                        {"notes", std::move(notes)}};
    fmt::print("{}\n", json::serialize(all));
    return;
  }
  using Align = cli::Table::Align;
  fmt::print("{} on {} (commit {})\n\n", report.bench, machine_name(), commit_name());
  // What no row has gets no column.
  const auto any = [&](auto member) {
    return std::any_of(report.rows.begin(), report.rows.end(), [&](const Row& row) { return bool(row.*member); });
  };
  const bool peers = any(&Row::peer_value), ratios = any(&Row::ratio), fractions = any(&Row::fraction);
  std::vector<cli::Table::Column> columns = {{"result"}, {"value", Align::right}, {"unit"}};
  if (peers) columns.push_back({"peer", Align::right});
  if (ratios) columns.push_back({"ratio", Align::right});
  if (fractions) columns.push_back({"of limit", Align::right});
  columns.push_back({"bar"});
  columns.push_back({"met"});
  cli::Table table(std::move(columns), cli::Table::Long::wrapped);
  for (const Row& row : report.rows) {
    std::vector<std::string> cells = {row.name, number(row.value), row.unit};
    if (peers) cells.push_back(row.peer_value ? number(*row.peer_value) : "");
    if (ratios) cells.push_back(row.ratio ? fmt::format("{:.2f} x", *row.ratio) : "");
    if (fractions) cells.push_back(row.fraction ? fmt::format("{:.0f} %", *row.fraction * 100) : "");
    cells.push_back(row.bar.value_or(""));
    cells.emplace_back(row.met ? (*row.met ? "yes" : "NO") : "");
    table.row(std::move(cells));
  }
  table.print();
  for (const std::string& note : report.notes) fmt::print("{}\n", note);
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  double at = q * static_cast<double>(values.size() - 1);
  auto low = static_cast<size_t>(at);
  size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

Row latency_row(std::string name, const std::vector<double>& seconds, double q, double most_ms,
                const std::string& what) {
  Row row;
  row.name = std::move(name);
  row.value = 1e3 * quantile(seconds, q);
  row.unit = fmt::format("ms, p{:g}{}{}", 100 * q, what.empty() ? "" : " ", what);
  row.bar = fmt::format("< {:g} ms", most_ms);
  row.met = row.value < most_ms;
  return row;
}

}  // namespace skep::bench
