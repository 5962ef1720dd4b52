#pragma once
// One row per step and population, or of a sweep per run and population, as CSV or as JSON lines: what people load into
// their own tools.

#include <cstdio>
#include <memory>
#include <string>

#include "base/result.h"
#include "scenario/frame.h"
#include "scenario/sweep.h"

namespace skep::scenario {

// The format follows the name: .csv or .jsonl. Columns: seed, step, population, agents, reward, free_energy, entropy,
// agreement, activity, coalition_size, coalitions, coalition_value. Numbers read back exactly.
class TableWriter {
 public:
  static Result<TableWriter> create(const std::string& path);
  Status write(const Stage& stage, const Frame& frame);
  Status finish();  // flushes; what could not be written is an error

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  TableWriter(std::string path, std::FILE* file, bool csv) : path_(std::move(path)), file_(file), csv_(csv) {}
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  bool csv_;
};

// Whether a table may have this name: .csv or .jsonl. For asking before the work whose result it is to hold.
Status check_table_name(const std::string& path);

// Columns: the varied keys (JSON: an object `values`), seed, population, reward, free_energy, entropy, coalition_size,
// means over the run. Texts are quoted as CSV and JSON ask for it.
Status write_sweep_table(const std::string& path, const std::vector<SweepCell>& cells, uint64_t first_seed);

}  // namespace skep::scenario
