#include "cli/run/run_summary.h"

#include <algorithm>
#include <boost/json.hpp>
#include <functional>

#include "base/duration.h"
#include "cli/terminal.h"

namespace skep::cli {

namespace json = boost::json;

namespace {

Duration from_seconds(double s) { return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s)); }

using MemoryOf = std::function<Bytes(const std::string& name)>;

Bytes memory_of_model(const RunSummary& summary, const std::string& model) {
  const auto found = summary.memory_of_model.find(model);
  return found == summary.memory_of_model.end() ? Bytes(0) : found->second;
}

// Failures and loads have columns where there are any, so that the table fits a terminal of 80 columns.
void print_rows(const char* title, const std::vector<api::PerformanceReport::Row>& rows, const MemoryOf& memory,
                double wall) {
  using Align = Table::Align;
  const bool failed = std::ranges::any_of(rows, [](const auto& row) { return row.failed > 0; });
  const bool loads = std::ranges::any_of(rows, [](const auto& row) { return row.loads > 0; });
  std::vector<Table::Column> columns = {{title, Align::left}, {"tasks", Align::right}};
  if (failed) columns.push_back({"failed", Align::right});
  for (const char* name : {"prompt", "reused", "answer", "tok/s", "p50", "p95", "reserved"})
    columns.push_back({name, Align::right});
  if (loads) columns.push_back({"loads", Align::right});
  Table table(std::move(columns));
  for (const auto& row : rows) {
    std::vector<std::string> cells = {row.name.empty() ? "(none)" : row.name, human_count(row.tasks)};
    if (failed) cells.push_back(human_count(row.failed));
    cells.insert(cells.end(), {human_count(row.prompt_tokens), percent(row.cached_tokens, row.prompt_tokens),
                               human_count(row.completion_tokens),
                               wall > 0 ? fmt::format("{:.0f}", static_cast<double>(row.completion_tokens) / wall) : "",
                               to_string(from_seconds(row.total.p50)), to_string(from_seconds(row.total.p95)),
                               memory(row.name) > Bytes(0) ? to_string(memory(row.name)) : ""});
    if (loads) cells.push_back(row.loads > 0 ? human_count(row.loads) : "");
    table.row(std::move(cells));
  }
  table.print();
}

// How many answers are right, by tier and by the steps that the tasks take.
void print_accuracy(const TaskRunCounts& counts) {
  using Align = Table::Align;
  std::map<int, Accuracy> by_steps;
  for (const auto& [tier, row] : counts.by_tier_and_steps) {
    for (const auto& [steps, one] : row) {
      by_steps[steps].graded += one.graded;
      by_steps[steps].right += one.right;
    }
  }
  std::vector<Table::Column> columns = {{"right answers", Align::left}};
  for (const auto& [steps, one] : by_steps) {
    columns.push_back({steps == 0   ? "steps unknown"
                       : steps == 1 ? "1 step"
                                    : fmt::format("{} steps", steps),
                       Align::right});
  }
  columns.push_back({"all", Align::right});
  Table table(std::move(columns));
  auto add = [&](const std::string& name, const std::map<int, Accuracy>& row) {
    std::vector<std::string> cells = {name};
    Accuracy all;
    for (const auto& [steps, ignored] : by_steps) {
      auto found = row.find(steps);
      cells.push_back(found == row.end() ? "" : percent(found->second));
      if (found == row.end()) continue;
      all.graded += found->second.graded;
      all.right += found->second.right;
    }
    cells.push_back(percent(all));
    table.row(std::move(cells));
  };
  for (const auto& [tier, row] : counts.by_tier_and_steps) add(tier.empty() ? "(none)" : tier, row);
  if (counts.by_tier_and_steps.size() > 1) add("all", by_steps);
  table.print();
}

json::object accuracy_json(const TaskRunCounts& counts) {
  json::array rows;
  for (const auto& [tier, row] : counts.by_tier_and_steps) {
    for (const auto& [steps, one] : row)
      rows.push_back({{"tier", tier}, {"steps", steps}, {"graded", one.graded}, {"right", one.right}});
  }
  return {{"graded", counts.accuracy.graded}, {"right", counts.accuracy.right}, {"rows", std::move(rows)}};
}

json::array rows_json(const std::vector<api::PerformanceReport::Row>& rows, const MemoryOf& memory) {
  json::array out;
  for (const auto& row : rows) {
    out.push_back({{"name", row.name},
                   {"tasks", row.tasks},
                   {"failed", row.failed},
                   {"prompt_tokens", row.prompt_tokens},
                   {"cached_tokens", row.cached_tokens},
                   {"completion_tokens", row.completion_tokens},
                   {"p50_s", row.total.p50},
                   {"p95_s", row.total.p95},
                   {"first_token_p50_s", row.first_token.p50},
                   {"first_token_p95_s", row.first_token.p95},
                   {"memory_bytes", memory(row.name).count},
                   {"loads", row.loads}});
  }
  return out;
}

}  // namespace

Bytes memory_of_tier(const RunSummary& summary, const std::string& tier) {
  Bytes sum;
  const auto models = summary.counts.models_of_tier.find(tier);
  if (models == summary.counts.models_of_tier.end()) return sum;
  for (const std::string& model : models->second) sum += memory_of_model(summary, model);
  return sum;
}

void count_loads(RunSummary& summary, const api::PerformanceReport& now) {
  for (const auto& model : now.models) {
    for (auto& row : summary.performance.models) {
      if (row.name != model.name) continue;
      auto before = summary.loads_before.find(row.name);
      row.loads = model.loads - (before == summary.loads_before.end() ? 0 : before->second);
    }
  }
}

void print_table(const RunSummary& s) {
  double wall = seconds(s.wall);
  fmt::print("\n");
  print_rows(
      "tier", s.performance.tiers, [&](const std::string& tier) { return memory_of_tier(s, tier); }, wall);
  fmt::print("\n");
  print_rows(
      "model", s.performance.models, [&](const std::string& name) { return memory_of_model(s, name); }, wall);
  if (s.counts.accuracy.graded > 0) {
    fmt::print("\n");
    print_accuracy(s.counts);
  }
  fmt::print("\n{} tasks in {}: {:.2f} tasks/s, {:.0f} tokens/s", human_count(s.counts.finished), to_string(s.wall),
             wall > 0 ? static_cast<double>(s.counts.finished) / wall : 0,
             wall > 0 ? static_cast<double>(s.counts.completion_tokens) / wall : 0);
  if (s.counts.failed > 0)
    fmt::print(", {}", paint(Colour::red, fmt::format("{} failed", human_count(s.counts.failed))));
  if (s.counts.broken > 0)
    fmt::print(", {}", paint(Colour::yellow, fmt::format("{} broken lines skipped", human_count(s.counts.broken))));
  if (s.resumed > 0) fmt::print(", {} were done before", human_count(s.resumed));
  fmt::print(
      "\npeak memory {} of {} {} ({} reserved)\n", to_string(s.peak_memory), to_string(s.budget),
      bar(s.budget.count > 0 ? static_cast<double>(s.peak_memory.count) / static_cast<double>(s.budget.count) : 0, 24),
      to_string(s.peak_reserved));
  if (s.interrupted)
    fmt::print("{}\n", paint(Colour::yellow, "interrupted: the same command goes on where this one stopped"));
}

std::string percent(const Accuracy& accuracy) { return percent(accuracy.right, accuracy.graded); }

std::string percent(int64_t part, int64_t whole) {
  if (whole == 0) return "";
  return fmt::format("{:.0f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

json::object to_json(const RunSummary& s) {
  const auto of_tier = [&](const std::string& tier) { return memory_of_tier(s, tier); };
  const auto of_model = [&](const std::string& name) { return memory_of_model(s, name); };
  json::object out = {{"tasks", s.counts.finished},
                      {"failed", s.counts.failed},
                      {"broken_lines", s.counts.broken},
                      {"resumed", s.resumed},
                      {"interrupted", s.interrupted},
                      {"wall_s", seconds(s.wall)},
                      {"prompt_tokens", s.counts.prompt_tokens},
                      {"cached_tokens", s.counts.cached_tokens},
                      {"completion_tokens", s.counts.completion_tokens},
                      {"peak_memory_bytes", s.peak_memory.count},
                      {"peak_reserved_bytes", s.peak_reserved.count},
                      {"budget_bytes", s.budget.count},
                      {"tiers", rows_json(s.performance.tiers, of_tier)},
                      {"models", rows_json(s.performance.models, of_model)}};
  if (s.counts.accuracy.graded > 0) out["accuracy"] = accuracy_json(s.counts);
  return out;
}

}  // namespace skep::cli
