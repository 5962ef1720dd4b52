#include "scenario/table.h"

#include <array>
#include <boost/json.hpp>
#include <fstream>

namespace skep::scenario {
namespace {

constexpr std::array columns{"seed",    "step",      "population", "agents",         "reward",     "free_energy",
                             "entropy", "agreement", "activity",   "coalition_size", "coalitions", "coalition_value"};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// As RFC 4180 has it: quoted where a comma, a quote or a line's end would be taken for the table's.
std::string csv_text(std::string text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) text.insert(at, 1, '"');
  return '"' + text + '"';
}

// A swept value as it stands in the scenario: a number or a truth value where it is one.
boost::json::value json_value(const std::string& text) {
  boost::system::error_code error;
  boost::json::value value = boost::json::parse(text, error);
  return error || !(value.is_number() || value.is_bool()) ? boost::json::value(text) : value;
}

std::string csv_header(const SweepCell& cell) {
  std::string text;
  for (const auto& [key, value] : cell.values) text += csv_text(key) + ",";
  return text + "seed,population,reward,free_energy,entropy,coalition_size\n";
}

std::string csv_row(const SweepCell& cell, uint64_t seed, const std::string& population, const CurvePoint& mean) {
  std::string text;
  for (const auto& [key, value] : cell.values) text += csv_text(value) + ",";
  return text + fmt::format("{},{},{},{},{},{}\n", seed, csv_text(population), mean.reward, mean.free_energy,
                            mean.entropy, mean.coalition_size);
}

std::string json_row(const SweepCell& cell, uint64_t seed, const std::string& population, const CurvePoint& mean) {
  boost::json::object values;
  for (const auto& [key, value] : cell.values) values[key] = json_value(value);
  return boost::json::serialize(boost::json::object{{"values", std::move(values)},
                                                    {"seed", seed},
                                                    {"population", population},
                                                    {"reward", mean.reward},
                                                    {"free_energy", mean.free_energy},
                                                    {"entropy", mean.entropy},
                                                    {"coalition_size", mean.coalition_size}}) +
         "\n";
}

}  // namespace

Status check_table_name(const std::string& path) {
  if (!ends_with(path, ".csv") && !ends_with(path, ".jsonl"))
    return fail(ErrorCode::invalid_argument, fmt::format("{}: a table's name ends in .csv or .jsonl", path));
  return {};
}

Status write_sweep_table(const std::string& path, const std::vector<SweepCell>& cells, uint64_t first_seed) {
  SKEP_CHECK(check_table_name(path));
  const bool csv = ends_with(path, ".csv");
  std::string text = csv && !cells.empty() ? csv_header(cells.front()) : "";
  for (const SweepCell& cell : cells)
    for (size_t run = 0; run < cell.means.size(); ++run)
      for (size_t p = 0; p < cell.populations.size(); ++p)
        text += (csv ? csv_row : json_row)(cell, first_seed + run, cell.populations[p], cell.means[run][p]);
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return fail(ErrorCode::io, fmt::format("{}: cannot be written", path));
  return {};
}

Result<TableWriter> TableWriter::create(const std::string& path) {
  SKEP_CHECK(check_table_name(path));
  const bool csv = ends_with(path, ".csv");
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return fail(ErrorCode::io, fmt::format("{}: cannot be written", path));
  TableWriter writer(path, file, csv);
  if (csv) fmt::print(file, "{}\n", fmt::join(columns, ","));
  return writer;
}

Status TableWriter::write(const Stage& stage, const Frame& frame) {
  for (size_t p = 0; p < frame.populations.size(); ++p) {
    const PopulationFrame& now = frame.populations[p];
    const PopulationConfig& config = stage.scenario.populations[p];
    if (csv_) {
      fmt::print(file_.get(), "{},{},{},{},{},{},{},{},{},{},{},{}\n", stage.seed, frame.step, csv_text(config.name),
                 config.agents, now.reward, now.free_energy, now.entropy, now.agreement, now.activity,
                 now.coalition_size, frame.coalitions, frame.coalition_value);
    } else {
      fmt::print(file_.get(), "{}\n",
                 boost::json::serialize(boost::json::object{{"seed", stage.seed},
                                                            {"step", frame.step},
                                                            {"population", config.name},
                                                            {"agents", config.agents},
                                                            {"reward", now.reward},
                                                            {"free_energy", now.free_energy},
                                                            {"entropy", now.entropy},
                                                            {"agreement", now.agreement},
                                                            {"activity", now.activity},
                                                            {"coalition_size", now.coalition_size},
                                                            {"coalitions", frame.coalitions},
                                                            {"coalition_value", frame.coalition_value}}));
    }
  }
  if (std::ferror(file_.get()) != 0) return fail(ErrorCode::io, fmt::format("{}: cannot be written", path_));
  return {};
}

Status TableWriter::finish() {
  if (std::fflush(file_.get()) != 0 || std::ferror(file_.get()) != 0)
    return fail(ErrorCode::io, fmt::format("{}: cannot be written", path_));
  return {};
}

}  // namespace skep::scenario
