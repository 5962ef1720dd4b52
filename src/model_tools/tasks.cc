#include "model_tools/tasks.h"

#include <boost/json.hpp>
#include <cmath>
#include <fstream>

#include "base/json.h"

namespace skep::model_tools {
namespace {

namespace json = boost::json;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string_view last_line(std::string_view text) {
  const std::string_view whole = trimmed(text);
  const size_t end = whole.rfind('\n');
  return end == whole.npos ? whole : trimmed(whole.substr(end + 1));
}

// Numbers are equal by value, objects whatever the order of their keys.
bool same(const json::value& a, const json::value& b) {
  if (a.is_number() && b.is_number()) return a.to_number<double>() == b.to_number<double>();
  if (a.is_array() && b.is_array()) {
    const auto &x = a.get_array(), &y = b.get_array();
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), same);
  }
  if (a.is_object() && b.is_object()) {
    const auto &x = a.get_object(), &y = b.get_object();
    return x.size() == y.size() && std::all_of(x.begin(), x.end(), [&](const auto& pair) {
             const json::value* other = y.if_contains(pair.key());
             return other != nullptr && same(pair.value(), *other);
           });
  }
  return a == b;
}

bool same_json(std::string_view expected, std::string_view answer) {
  const auto want = parse_json(trimmed(expected), "answer");
  const auto have = parse_json(trimmed(answer), "answer");
  return want && have && same(*want, *have);
}

Result<std::vector<engine::ChatMessage>> messages_of(const json::object& task, const std::string& where) {
  const json::value* prompt = task.if_contains("prompt");
  if (prompt != nullptr && prompt->is_string()) {
    return std::vector<engine::ChatMessage>{{"user", std::string(prompt->get_string())}};
  }
  const json::value* list = task.if_contains("messages");
  if (list == nullptr || !list->is_array() || list->get_array().empty()) {
    return fail(ErrorCode::invalid_argument, where + ": it has neither messages nor a prompt");
  }
  std::vector<engine::ChatMessage> messages;
  for (const json::value& each : list->get_array()) {
    const json::object* message = each.if_object();
    const json::value* role = message == nullptr ? nullptr : message->if_contains("role");
    const json::value* content = message == nullptr ? nullptr : message->if_contains("content");
    if (role == nullptr || content == nullptr || !role->is_string() || !content->is_string()) {
      return fail(ErrorCode::invalid_argument, where + ": a message needs a role and a content, both text");
    }
    messages.push_back({std::string(role->get_string()), std::string(content->get_string())});
  }
  return messages;
}

Result<Match> match_of(const json::object& task, const TaskExample& parsed, bool answer_is_json,
                       const std::string& where) {
  const json::value* match = task.if_contains("match");
  if (match == nullptr) return answer_is_json ? Match::json : Match::exact;
  const std::string_view name = match->is_string() ? std::string_view(match->get_string()) : "";
  if (name == "exact") return Match::exact;
  if (name == "last_line") return Match::last_line;
  if (name == "json" && parse_json(parsed.answer, "answer")) return Match::json;
  return fail(ErrorCode::invalid_argument,
              name == "json" ? where + ": its answer is no JSON" : where + ": match is none of exact, last_line, json");
}

}  // namespace

Result<TaskExample> parse_task(std::string_view line, const std::string& where, Answers answers) {
  SKEP_TRY(const json::value parsed, parse_json(line, where));
  const json::object* task = parsed.if_object();
  if (task == nullptr) return fail(ErrorCode::invalid_argument, where + ": it is no JSON object");
  TaskExample example;
  SKEP_TRY(example.messages, messages_of(*task, where));
  const json::value* answer = task->if_contains("answer");
  if (answer == nullptr && answers == Answers::needed) {
    return fail(ErrorCode::invalid_argument, where + ": it has no answer");
  }
  const bool structured = answer != nullptr && (answer->is_object() || answer->is_array());
  if (answer != nullptr) {
    example.answer = answer->is_string() ? std::string(answer->get_string()) : json::serialize(*answer);
  }
  if (const json::value* kind = task->if_contains("kind"); kind != nullptr && kind->is_string()) {
    example.kind = std::string(kind->get_string());
  }
  const auto number = [&](const char* key, int otherwise) {
    const json::value* value = task->if_contains(key);
    return value != nullptr && value->is_int64() ? static_cast<int>(value->get_int64()) : otherwise;
  };
  example.steps = number("steps", 1);
  example.max_tokens = number("max_tokens", 0);
  SKEP_TRY(example.match, match_of(*task, example, structured, where));
  return example;
}

Result<std::vector<TaskExample>> read_tasks(const std::string& path, size_t most, Answers answers) {
  std::ifstream file(path);
  if (!file) return fail(ErrorCode::not_found, path + ": can't be opened");
  std::vector<TaskExample> tasks;
  size_t number = 0;
  for (std::string line; (most == 0 || tasks.size() < most) && std::getline(file, line);) {
    ++number;
    if (trimmed(line).empty()) continue;
    SKEP_TRY(TaskExample task, parse_task(line, fmt::format("{}:{}", path, number), answers));
    tasks.push_back(std::move(task));
  }
  if (tasks.empty()) return fail(ErrorCode::invalid_argument, path + ": there is no task in it");
  return tasks;
}

std::string task_line(const TaskExample& task) {
  json::array messages;
  for (const auto& message : task.messages)
    messages.push_back(json::object{{"role", message.role}, {"content", message.content}});
  json::object line{
      {"messages", std::move(messages)}, {"answer", task.answer}, {"kind", task.kind}, {"steps", task.steps}};
  if (task.max_tokens > 0) line["max_tokens"] = task.max_tokens;
  if (task.match == Match::json) line["match"] = "json";
  if (task.match == Match::last_line) line["match"] = "last_line";
  return json::serialize(line);
}

bool is_right(const TaskExample& task, std::string_view answer) {
  switch (task.match) {
    case Match::exact:
      return trimmed(task.answer) == trimmed(answer);
    case Match::last_line:
      return last_line(task.answer) == last_line(answer);
    case Match::json:
      return same_json(task.answer, answer);
  }
  return false;
}

}  // namespace skep::model_tools
