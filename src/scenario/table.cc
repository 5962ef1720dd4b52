#include "scenario/table.h"

#include <array>
#include <boost/json.hpp>

namespace skep::scenario {
namespace {

constexpr std::array columns{"seed",    "step",      "population", "agents",         "reward",     "free_energy",
                             "entropy", "agreement", "activity",   "coalition_size", "coalitions", "coalition_value"};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

Result<TableWriter> TableWriter::create(const std::string& path) {
  const bool csv = ends_with(path, ".csv");
  if (!csv && !ends_with(path, ".jsonl"))
    return fail(ErrorCode::invalid_argument, fmt::format("{}: a table's name ends in .csv or .jsonl", path));
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
      std::string name = config.name;
      if (name.find_first_of(",\"\n") != std::string::npos) {
        for (size_t at = 0; (at = name.find('"', at)) != std::string::npos; at += 2) name.insert(at, 1, '"');
        name = '"' + name + '"';
      }
      fmt::print(file_.get(), "{},{},{},{},{},{},{},{},{},{},{},{}\n", stage.seed, frame.step, name, config.agents,
                 now.reward, now.free_energy, now.entropy, now.agreement, now.activity, now.coalition_size,
                 frame.coalitions, frame.coalition_value);
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
