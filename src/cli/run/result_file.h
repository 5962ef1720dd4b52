#pragma once
// Writes results as JSONL in the order of completion, and remembers across runs which lines of the input are done: one
// bit per line, so that an input of a hundred million lines takes 12 MB. A line that was torn by a crash is cut off
// when the file is opened again; its task runs again.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/task.h"
#include "base/result.h"
#include "cli/run/task_file.h"

namespace skep::cli {

class ResultFile {
 public:
  // Opens for appending; what is there is read first: with `retry_failed`, lines that hold an error don't count as
  // done. Fails when the file holds something else than results. "-" writes to standard output and resumes nothing.
  static Result<ResultFile> open(const std::string& path, bool retry_failed);

  [[nodiscard]] bool done(int64_t line) const;
  [[nodiscard]] int64_t resumed() const { return resumed_; }

  // Each is one write of a whole line. `right`: where the right answer is known.
  Status write(const TaskLine& task, const agent::TaskResult& result, std::optional<bool> right);
  Status write(const TaskLine& task, const Error& error);
  Status flush();

 private:
  ResultFile() = default;
  Status read_back(const std::string& path, bool retry_failed);
  Status put(const std::string& line, int64_t number);
  void mark(int64_t line);

  struct Close {
    void operator()(std::FILE* file) const {
      if (file != stdout) std::fclose(file);
    }
  };
  std::unique_ptr<std::FILE, Close> file_;
  std::string path_;
  std::vector<bool> done_;  // by line number
  int64_t resumed_ = 0;
};

}  // namespace skep::cli
