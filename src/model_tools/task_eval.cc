#include "model_tools/task_eval.h"

#include <chrono>
#include <cmath>

namespace skep::model_tools {
namespace {

engine::Generate question(const TaskExample& task, const TaskEvalOptions& options, const engine::Loaded& engine) {
  engine::Generate request;
  if (engine.chat_template.empty() && options.answerer.url.empty()) {  // a model without turns continues text
    for (const auto& message : task.messages) request.prompt += message.content + "\n";
  } else {
    request.messages = task.messages;
  }
  request.max_tokens = task.max_tokens > 0 ? task.max_tokens : options.max_tokens;
  request.share_scope = "eval";
  return request;
}

}  // namespace

void Score::add(const Score& other) {
  tasks += other.tasks, right += other.right, failed += other.failed;
  prompt_tokens += other.prompt_tokens, completion_tokens += other.completion_tokens;
}

std::pair<double, double> confidence(const Score& score) {
  if (score.tasks == 0) return {0, 1};
  const double n = static_cast<double>(score.tasks), p = score.accuracy(), z = 1.959964;
  const double middle = p + z * z / (2 * n), spread = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {(middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)};
}

Score TaskEval::total() const {
  Score sum;
  for (const auto& [key, score] : by_kind_and_steps) sum.add(score);
  return sum;
}

std::map<int, Score> TaskEval::by_steps() const {
  std::map<int, Score> sums;
  for (const auto& [key, score] : by_kind_and_steps) sums[key.second].add(score);
  return sums;
}

std::map<std::string, Score> TaskEval::by_kind() const {
  std::map<std::string, Score> sums;
  for (const auto& [key, score] : by_kind_and_steps) sums[key.first].add(score);
  return sums;
}

Result<TaskEval> evaluate_tasks(const std::vector<TaskExample>& tasks, const TaskEvalOptions& options,
                                const ProgressFn& progress) {
  TaskEval eval;
  Score total;
  const auto began = std::chrono::steady_clock::now();
  Interview talk;
  talk.questions = tasks.size();
  talk.ask = [&](size_t i, const engine::Loaded& engine) {
    eval.forward = engine.forward;
    return question(tasks[i], options, engine);
  };
  talk.heard = [&](size_t i, const Result<GivenAnswer>& answer) {
    const TaskExample& task = tasks[i];
    Score one;
    one.tasks = 1;
    one.failed = answer ? 0 : 1;
    one.right = answer && is_right(task, answer->text) ? 1 : 0;
    if (answer) {
      one.prompt_tokens = answer->finished.usage.prompt_tokens;
      one.completion_tokens = answer->finished.usage.completion_tokens;
    }
    if (one.right == 0 && eval.wrong.size() < options.keep_wrong) {
      eval.wrong.push_back({task.messages.back().content, task.answer,
                            answer ? answer->text : "(" + answer.error().text() + ")", task.kind});
    }
    eval.by_kind_and_steps[{task.kind, task.steps}].add(one);
    total.add(one);
    return proceed(progress, {"answering", static_cast<double>(total.tasks) / static_cast<double>(tasks.size()),
                              fmt::format("{} of {} right", total.right, total.tasks)});
  };
  SKEP_CHECK(interview(options.answerer, talk));
  eval.took = std::chrono::steady_clock::now() - began;
  return eval;
}

}  // namespace skep::model_tools
