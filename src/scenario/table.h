#pragma once
// One row per step and population, as CSV or as JSON lines: what people load into their own tools.

#include <cstdio>
#include <memory>
#include <string>

#include "base/result.h"
#include "scenario/frame.h"

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

}  // namespace skep::scenario
