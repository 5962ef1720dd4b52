#pragma once
// Reads tasks from a JSONL file, one at a time, in constant memory: a file of any size, lines of up to 8 MiB.
//   {"id": "t1", "agent": "log-triage", "input": "…", "priority": "high", "deadline_ms": 5000, "max_tokens": 64,
//    "model": "auto", "task_type": "analysis", "temperature": 0, "seed": 1, "schema": {…}, "answer": "…", "steps": 2}
// A line is the body of POST /api/tasks (api/wire/control_task_request.h) and an id, which defaults to "line-N". An
// "answer" is what a right answer says: the run counts how many are right, also by the number of "steps" that the task
// takes.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/task.h"
#include "base/result.h"

namespace skep::cli {

struct TaskLine {
  int64_t line = 0;  // 1-based
  std::string id;
  agent::TaskRequest request;
  std::optional<std::string> answer;
  int steps = 0;  // 0: not stated
};

// One line. `where` names file and line in errors.
Result<TaskLine> parse_task_line(std::string_view text, std::string_view where);

class TaskFile {
 public:
  // "-" reads standard input.
  static Result<TaskFile> open(const std::string& path);

  struct Item {
    int64_t line = 0;
    Result<TaskLine> task;
  };
  // The next line that isn't blank; nothing at the end of the file. A line that can't be used is an item with an error,
  // and reading goes on behind it.
  Result<std::optional<Item>> next();

  [[nodiscard]] int64_t bytes_read() const { return bytes_read_; }
  [[nodiscard]] std::optional<int64_t> bytes_total() const { return bytes_total_; }  // unknown for pipes
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  TaskFile() = default;
  // The next line into line_, its end included. False: there is none. `too_long`: more than fits; it is read past.
  bool read_line(bool& too_long);
  struct Close {
    void operator()(std::FILE* file) const {
      if (file != stdin) std::fclose(file);
    }
  };
  std::unique_ptr<std::FILE, Close> file_;
  std::string path_;
  std::string line_;
  int64_t number_ = 0, bytes_read_ = 0;
  std::optional<int64_t> bytes_total_;
};

}  // namespace skep::cli
