#include "cli/run/task_file.h"

#include <sys/stat.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstring>

#include "api/wire/control_task_request.h"
#include "base/json.h"

namespace skep::cli {

namespace json = boost::json;

namespace {

constexpr size_t kMostLine = 8U << 20;

}  // namespace

Result<TaskLine> parse_task_line(std::string_view text, std::string_view where) {
  SKEP_TRY(json::value value, parse_json(text, where));
  const json::object* object = value.if_object();
  if (object == nullptr) return fail(ErrorCode::invalid_argument, fmt::format("{}: a task is a JSON object", where));
  const auto refuse = [&](Error error) {
    error.message = fmt::format("{}: {}", where, error.message);
    return fail(std::move(error));
  };
  auto asked = api::wire::read_control_task(*object, {});
  if (!asked) return refuse(asked.error().error);
  TaskLine task;
  if (const json::value* id = object->if_contains("id"); id != nullptr && !id->is_null()) {
    task.id = id->is_string() ? std::string(id->get_string()) : json::serialize(*id);
  }
  std::optional<api::ApiError> error;
  api::wire::Fields fields(*object, error);
  task.answer = fields.text("answer");
  task.steps = static_cast<int>(fields.integer("steps", 1, 100).value_or(0));
  if (error) return refuse(error->error);
  task.request = std::move(asked->tasks.front());
  return task;
}

Result<TaskFile> TaskFile::open(const std::string& path) {
  TaskFile file;
  file.path_ = path;
  if (path == "-") {
    file.path_ = "stdin";
    file.file_.reset(stdin);
    return file;
  }
  file.file_.reset(std::fopen(path.c_str(), "re"));
  if (!file.file_) {
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io,
                fmt::format("{}: {}", path, std::strerror(errno)));
  }
  struct stat info {};
  if (fstat(fileno(file.file_.get()), &info) == 0 && S_ISREG(info.st_mode)) file.bytes_total_ = info.st_size;
  return file;
}

// Byte by byte: a line may hold zeros, and a pipe's must not wait for those behind it.
bool TaskFile::read_line(bool& too_long) {
  line_.clear();
  const int64_t before = bytes_read_;
  for (int c = getc_unlocked(file_.get()); c != EOF; c = getc_unlocked(file_.get())) {
    ++bytes_read_;
    too_long = too_long || line_.size() >= kMostLine;
    if (!too_long) line_ += static_cast<char>(c);
    if (c == '\n') break;
  }
  return bytes_read_ > before;
}

Result<std::optional<TaskFile::Item>> TaskFile::next() {
  for (;;) {
    bool too_long = false;
    if (!read_line(too_long)) {
      if (std::ferror(file_.get()) != 0) return fail(ErrorCode::io, fmt::format("{}: {}", path_, std::strerror(errno)));
      return std::nullopt;
    }
    ++number_;
    std::string where = fmt::format("{}:{}", path_, number_);
    if (too_long)
      return Item{number_, fail(ErrorCode::too_large, fmt::format("{}: the line is longer than 8 MiB", where))};
    std::string_view text = line_;
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
    if (text.empty()) continue;
    auto task = parse_task_line(text, where);
    if (task) {
      task->line = number_;
      if (task->id.empty()) task->id = fmt::format("line-{}", number_);
    }
    return Item{number_, std::move(task)};
  }
}

}  // namespace skep::cli
