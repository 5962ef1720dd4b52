#include "cli/run/task_file.h"

#include <sys/stat.h>

#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>

#include "base/json.h"

namespace skep::cli {

namespace json = boost::json;

namespace {

constexpr size_t kMostLine = 8U << 20;

// Reads fields of one object; the first fault is kept.
class Fields {
 public:
  Fields(const json::object& object, std::string_view where) : object_(object), where_(where) {}

  std::optional<std::string> text(const char* key) {
    const json::value* value = object_.if_contains(key);
    if (value == nullptr || value->is_null()) return std::nullopt;
    if (!value->is_string()) return refuse(key, "a string"), std::nullopt;
    return std::string(value->as_string());
  }
  std::optional<double> number(const char* key, double low, double high) {
    const json::value* value = object_.if_contains(key);
    if (value == nullptr || value->is_null()) return std::nullopt;
    if (!value->is_number()) return refuse(key, "a number"), std::nullopt;
    auto n = value->to_number<double>();
    if (!(n >= low && n <= high)) return refuse(key, fmt::format("between {} and {}", low, high)), std::nullopt;
    return n;
  }
  const json::value* any(const char* key) { return object_.if_contains(key); }
  void refuse(std::string_view key, std::string_view wanted) {
    if (!error_)
      error_ = Error{ErrorCode::invalid_argument, fmt::format("{}: {} has to be {}", where_, key, wanted), {}};
  }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  const json::object& object_;
  std::string_view where_;
  std::optional<Error> error_;
};

void read_messages(const json::value& value, Fields& fields, std::vector<language::Message>& messages) {
  if (!value.is_array()) return fields.refuse("messages", "a list of {role, content}");
  for (const json::value& one : value.as_array()) {
    const auto* object = one.if_object();
    const auto* role = object != nullptr ? object->if_contains("role") : nullptr;
    const auto* content = object != nullptr ? object->if_contains("content") : nullptr;
    if (role == nullptr || !role->is_string() || content == nullptr || !content->is_string()) {
      return fields.refuse("messages", "a list of {role, content}");
    }
    language::Message message;
    message.role = role->as_string().c_str();
    message.content = content->as_string().c_str();
    messages.push_back(std::move(message));
  }
}

}  // namespace

Result<TaskLine> parse_task_line(std::string_view text, std::string_view where) {
  SKEP_TRY(json::value value, parse_json(text, where));
  if (!value.is_object()) return fail(ErrorCode::invalid_argument, fmt::format("{}: a task is a JSON object", where));
  Fields fields(value.as_object(), where);
  TaskLine task;
  agent::TaskRequest& request = task.request;
  task.id = fields.text("id").value_or("");
  request.agent = fields.text("agent").value_or("");
  request.model = fields.text("model").value_or("");
  request.input.task_type = fields.text("task_type").value_or("");
  if (auto name = fields.text("priority")) {
    request.priority = scheduling::priority_from(*name);
    if (!request.priority) fields.refuse("priority", "one of critical, high, normal, background");
  }
  if (auto ms = fields.number("deadline_ms", 1, 1e9))
    request.deadline = std::chrono::milliseconds(static_cast<int64_t>(*ms));
  language::Overrides& overrides = request.input.overrides;
  if (auto n = fields.number("max_tokens", 1, 1e6)) overrides.max_tokens = static_cast<int>(*n);
  if (auto t = fields.number("temperature", 0, 2)) overrides.temperature = static_cast<float>(*t);
  if (auto p = fields.number("top_p", 0, 1)) overrides.top_p = static_cast<float>(*p);
  if (auto s = fields.number("seed", 0, 4294967295.0)) overrides.seed = static_cast<uint32_t>(*s);
  task.answer = fields.text("answer");
  if (auto n = fields.number("steps", 1, 100)) task.steps = static_cast<int>(*n);
  if (const json::value* schema = fields.any("schema")) {
    if (!schema->is_object()) fields.refuse("schema", "a JSON Schema object");
    request.input.format = {language::ResponseFormat::Kind::json_schema, json::serialize(*schema)};
  }
  if (const json::value* messages = fields.any("messages")) read_messages(*messages, fields, request.input.messages);
  if (auto input = fields.text("input")) {
    language::Message message;
    message.role = "user";
    message.content = *input;
    request.input.messages.push_back(std::move(message));
  }
  if (request.input.messages.empty()) fields.refuse("input", "given (or messages)");
  if (fields.error()) return fail(*fields.error());
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

Result<std::optional<TaskFile::Item>> TaskFile::next() {
  std::array<char, 65536> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init): fgets fills it
  for (;;) {
    line_.clear();
    bool too_long = false, any = false;
    while (std::fgets(chunk.data(), static_cast<int>(chunk.size()), file_.get()) != nullptr) {
      any = true;
      std::string_view part(chunk.data());
      bytes_read_ += static_cast<int64_t>(part.size());
      bool ends = part.ends_with('\n');
      if (line_.size() + part.size() > kMostLine) too_long = true;
      if (!too_long) line_ += part;
      if (ends) break;
    }
    if (!any) {
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
