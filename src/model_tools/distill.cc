#include "model_tools/distill.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

#include "model_tools/tasks.h"

namespace skep::model_tools {
namespace {

// What makes two questions the same.
std::string key_of(const TaskExample& task) {
  std::string key;
  for (const auto& message : task.messages) key += message.role + '\0' + message.content + '\0';
  return key;
}

// The questions that `path` answers. A last line that was cut off is removed, so that appending goes on behind a whole
// one.
Result<std::set<std::string>> answered(const std::string& path) {
  std::set<std::string> keys;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return keys;
  std::ifstream file(path);
  uintmax_t whole = 0;
  for (std::string line; std::getline(file, line);) {
    if (file.eof()) break;  // no line end: torn
    const auto task = parse_task(line, path);
    if (!task) return fail(task.error());
    keys.insert(key_of(*task));
    whole += line.size() + 1;
  }
  std::filesystem::resize_file(path, whole, error);
  if (error) return fail(ErrorCode::io, fmt::format("{}: {}", path, error.message()));
  return keys;
}

}  // namespace

Result<CollectReport> collect_answers(const CollectOptions& options, const ProgressFn& progress) {
  const Answers needs = options.only_right ? Answers::needed : Answers::optional;
  SKEP_TRY(std::vector<TaskExample> tasks, read_tasks(options.questions, 0, needs));
  SKEP_TRY(const std::set<std::string> known, answered(options.output));
  CollectReport report;
  report.questions = static_cast<int64_t>(tasks.size());
  std::erase_if(tasks, [&](const TaskExample& task) { return known.contains(key_of(task)); });
  report.known = report.questions - static_cast<int64_t>(tasks.size());
  if (tasks.empty()) return report;

  std::ofstream file(options.output, std::ios::app);
  if (!file) return fail(ErrorCode::io, options.output + ": can't be written");
  size_t done = 0;
  Status written;
  Interview talk;
  talk.questions = tasks.size();
  talk.ask = [&](size_t i, const engine::Loaded&) {
    engine::Generate request;
    request.messages = tasks[i].messages;
    request.max_tokens = tasks[i].max_tokens > 0 ? tasks[i].max_tokens : options.max_tokens;
    request.share_scope = "distill";
    return request;
  };
  talk.heard = [&](size_t i, const Result<GivenAnswer>& answer) {
    ++done;
    if (!answer || answer->finished.reason != engine::FinishReason::stop) {
      ++report.failed;  // an answer that was cut off teaches to stop nowhere
    } else if (options.only_right && !is_right(tasks[i], answer->text)) {
      ++report.wrong;
    } else {
      TaskExample learnt = tasks[i];
      learnt.answer = answer->text;
      learnt.match = Match::exact;
      file << task_line(learnt) << '\n' << std::flush;
      if (!file) {
        written = fail(ErrorCode::io, options.output + ": can't be written");
        return false;
      }
      ++report.kept;
    }
    return proceed(progress, {"asking the teacher", static_cast<double>(done) / static_cast<double>(tasks.size()),
                              fmt::format("{} of {}", done, tasks.size())});
  };
  const Status talked = interview(options.teacher, talk);
  SKEP_CHECK(written);
  SKEP_CHECK(talked);
  return report;
}

}  // namespace skep::model_tools
