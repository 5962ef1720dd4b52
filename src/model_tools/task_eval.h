#pragma once
// How many tasks of a file a model gets right: greedy decoding, as the daemon would run it.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model_tools/answers.h"
#include "model_tools/progress.h"
#include "model_tools/tasks.h"

namespace skep::model_tools {

struct TaskEvalOptions {
  AnswererOptions answerer;
  int max_tokens = 256;    // where a task names none
  size_t keep_wrong = 10;  // wrong answers kept for the report
};

struct Score {
  int64_t tasks = 0, right = 0, failed = 0;  // failed: no answer at all; counts as wrong
  int64_t prompt_tokens = 0, completion_tokens = 0;

  [[nodiscard]] double accuracy() const {
    return tasks == 0 ? 0 : static_cast<double>(right) / static_cast<double>(tasks);
  }
  void add(const Score& other);
};
// Wilson's 95 % interval of an accuracy.
std::pair<double, double> confidence(const Score& score);

struct WrongAnswer {
  std::string question, expected, given, kind;
};

struct TaskEval {
  std::map<std::pair<std::string, int>, Score> by_kind_and_steps;
  std::vector<WrongAnswer> wrong;
  Duration took{};
  std::string forward;  // the pass that ran it

  [[nodiscard]] Score total() const;
  [[nodiscard]] std::map<int, Score> by_steps() const;
  [[nodiscard]] std::map<std::string, Score> by_kind() const;
};

Result<TaskEval> evaluate_tasks(const std::vector<TaskExample>& tasks, const TaskEvalOptions& options,
                                const ProgressFn& progress);

}  // namespace skep::model_tools
