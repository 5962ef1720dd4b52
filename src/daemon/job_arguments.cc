#include "daemon/job_arguments.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <string_view>

#include "daemon/job_memory.h"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;

// How `skep model` takes a parameter.
enum class Kind { input, output, option, flag, input_option, output_option };
// What an option's value is; ranges are those of the command line.
enum class Value { text, whole, real, wholes };  // wholes: "7,8,9"

struct Parameter {
  std::string_view name;
  Kind kind;
  Value value = Value::text;
  double least = 0, most = 0;
};

struct Tool {
  std::string_view name;      // as on the command line
  std::vector<Parameter> in;  // positional ones first, in their order; those must be given
};

Parameter whole(std::string_view name, double least, double most) {
  return {name, Kind::option, Value::whole, least, most};
}
Parameter real(std::string_view name, double least, double most) {
  return {name, Kind::option, Value::real, least, most};
}
const Parameter kThreads = whole("threads", 0, 1024), kSlots = whole("slots", 1, 256),
                kContext = whole("context", 16, 1e6), kWindows = whole("windows", 0, 1e8),
                kMaxTokens = whole("max-tokens", 1, 100'000);

std::vector<Parameter> with_training(std::vector<Parameter> own) {
  using enum Kind;
  for (const Parameter& each :
       {Parameter{"shape", option}, whole("epochs", 1, 100'000), whole("steps", 0, 1e15), whole("context", 256, 65'536),
        real("learning-rate", 1e-8, 1), whole("warm-up", 0, 1e6), real("weight-decay", 0, 1),
        real("validation", 0, 0.5), Parameter{"only", option}, whole("seed", 0, 1e15), kThreads,
        Parameter{"model", input_option}, Parameter{"resume", flag}, Parameter{"force", flag}}) {
    own.push_back(each);
  }
  return own;
}

const std::vector<Tool>& tools() {
  using enum Kind;
  static const std::vector<Tool> all = {
      {"quantize",
       {{"input", input},
        {"output", output},
        {"type", option},
        {"target-size", option},
        {"imatrix-text", input_option},
        whole("imatrix-windows", 0, 1e6),
        kThreads,
        {"requantize", flag},
        {"force", flag}}},
      {"eval",
       {{"model", input},
        {"file", input},
        kContext,
        kWindows,
        whole("limit", 0, 1e15),
        kMaxTokens,
        kSlots,
        whole("task-context", 32, 1e6),
        {"forward", option},
        kThreads}},
      {"prune",
       {{"input", input},
        {"output", output},
        {"text", input_option},
        whole("count", 1, 10'000),
        real("ratio", 0, 1),
        {"layers", option, Value::wholes, 0, 10'000},
        kContext,
        kWindows,
        kThreads,
        {"force", flag}}},
      {"train", with_training({{"data", input}, {"output", output_option}})},
      {"distill", with_training({{"data", input},
                                 {"output", output_option},
                                 {"teacher", input_option},
                                 kMaxTokens,
                                 kSlots,
                                 {"soft", flag},
                                 {"only-right", flag},
                                 real("teacher-share", 0, 1)})},
      {"adapter extract",
       {{"base", input}, {"tuned", input}, {"output", output}, whole("rank", 1, 1024), {"force", flag}}},
      {"adapter merge",
       {{"model", input},
        {"adapter", input},
        {"output", output},
        real("scale", -1e6, 1e6),
        {"type", option},
        {"force", flag}}},
      {"diff", {{"old", input}, {"new", input}, {"output", output_option}, whole("level", 1, 19), {"force", flag}}},
      {"patch", {{"old", input}, {"delta", input}, {"output", output_option}, {"force", flag}}},
  };
  return all;
}

Status check_number(const Parameter& p, const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const bool is_whole = p.value == Value::real || number == std::floor(number);
  if (error == std::errc() && rest == end && is_whole && number >= p.least && number <= p.most) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("{}: '{}' is no {}number from {} to {}", p.name, text,
                                                       p.value == Value::real ? "" : "whole ", p.least, p.most));
}

Status check(const Parameter& p, const std::string& text) {
  if (p.kind != Kind::option || p.value == Value::text) return {};
  if (p.value != Value::wholes) return check_number(p, text);
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    SKEP_CHECK(check_number(p, text.substr(at, end - at)));
    at = end + 1;
  }
  return {};
}

template <typename Items>
std::vector<std::string> names_of(const Items& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.emplace_back(item.name);
  return names;
}

bool within(const fs::path& path, const fs::path& folder) {
  const auto [end, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end() && rest != path.end();
}

// Where the parameter's file is, links resolved, and surely in a model folder.
Result<std::string> place(std::string_view parameter, const std::string& name, bool exists,
                          const std::vector<std::string>& folders) {
  std::error_code error;
  std::vector<fs::path> tries;
  if (fs::path(name).is_absolute()) {
    tries.emplace_back(name);
  } else {
    for (const std::string& folder : folders) {
      tries.push_back(fs::path(folder) / name);
      if (!exists) break;  // made in the first
    }
  }
  for (const fs::path& each : tries) {
    const fs::path real = fs::weakly_canonical(each, error);
    if (error || (exists && !fs::is_regular_file(real, error))) continue;
    for (const std::string& folder : folders) {
      const fs::path root = fs::canonical(folder, error);
      if (!error && within(real, root)) return real.string();
    }
  }
  return fail(exists ? ErrorCode::not_found : ErrorCode::invalid_argument,
              fmt::format("{}: '{}' is no file in a model folder", parameter, name),
              fmt::format("the folders are {}", fmt::join(folders, ", ")));
}

}  // namespace

Result<JobCommand> job_command(const api::ModelJobRequest& request, const std::vector<std::string>& folders) {
  const auto tool = std::find_if(tools().begin(), tools().end(), [&](const Tool& t) { return t.name == request.tool; });
  if (tool == tools().end()) {
    return fail(ErrorCode::invalid_argument, fmt::format("there is no tool '{}'", request.tool),
                fmt::format("known: {}", fmt::join(names_of(tools()), ", ")));
  }
  JobCommand command;
  command.arguments = {"model"};
  for (size_t at = 0; at <= tool->name.size();) {  // "adapter merge" is two words
    const size_t end = std::min(tool->name.find(' ', at), tool->name.size());
    command.arguments.emplace_back(tool->name.substr(at, end - at));
    at = end + 1;
  }
  std::vector<std::string> positional(tool->in.size());
  JobParameters placed;
  for (const auto& [name, value] : request.parameters) {
    const auto parameter =
        std::find_if(tool->in.begin(), tool->in.end(), [&](const Parameter& p) { return p.name == name; });
    if (parameter == tool->in.end()) {
      return fail(ErrorCode::invalid_argument, fmt::format("{} has no parameter '{}'", tool->name, name),
                  fmt::format("known: {}", fmt::join(names_of(tool->in), ", ")));
    }
    std::string text = value;
    SKEP_CHECK(check(*parameter, text));
    const Kind kind = parameter->kind;
    if (kind == Kind::input || kind == Kind::input_option) {
      SKEP_TRY(text, place(name, value, true, folders));
    } else if (kind == Kind::output || kind == Kind::output_option) {
      SKEP_TRY(text, place(name, value, false, folders));
    }
    placed[name] = text;
    if (kind == Kind::input || kind == Kind::output) {
      positional[static_cast<size_t>(parameter - tool->in.begin())] = text;
    } else {
      command.arguments.push_back(kind == Kind::flag ? fmt::format("--{}", name) : fmt::format("--{}={}", name, text));
    }
  }
  for (size_t i = 0; i < tool->in.size(); ++i) {
    const Kind kind = tool->in[i].kind;
    if (kind == Kind::output_option && !placed.contains(std::string(tool->in[i].name))) {
      return fail(ErrorCode::invalid_argument, fmt::format("{} needs '{}'", tool->name, tool->in[i].name));
    }
    if (kind != Kind::input && kind != Kind::output) continue;
    if (positional[i].empty()) {
      return fail(ErrorCode::invalid_argument, fmt::format("{} needs '{}'", tool->name, tool->in[i].name));
    }
    command.arguments.push_back(positional[i]);
  }
  SKEP_TRY(command.memory, job_memory(tool->name, placed));
  return command;
}

}  // namespace skep::daemon
