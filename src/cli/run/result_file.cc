#include "cli/run/result_file.h"

#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/json.h"

namespace skep::cli {

namespace json = boost::json;

namespace {

constexpr int64_t kMostLines = 4'000'000'000;  // 500 MB of bits

json::object head(const TaskLine& task) {
  json::object out = {{"id", task.id}, {"line", task.line}};
  if (!task.request.agent.empty()) out["agent"] = task.request.agent;
  return out;
}

double rounded(Duration d) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(d).count()) / 1e6;
}

}  // namespace

Result<ResultFile> ResultFile::open(const std::string& path, bool retry_failed) {
  ResultFile results;
  results.path_ = path;
  if (path == "-") {
    results.file_.reset(stdout);
    return results;
  }
  SKEP_CHECK(results.read_back(path, retry_failed));
  results.file_.reset(std::fopen(path.c_str(), "ae"));
  if (!results.file_) return fail(ErrorCode::io, fmt::format("{}: {}", path, std::strerror(errno)));
  return results;
}

Status ResultFile::read_back(const std::string& path, bool retry_failed) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return {};
  int64_t good = 0;  // bytes of whole lines
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    if (in.eof()) break;  // without a line's end: torn
    ++number;
    auto value = parse_json(line, fmt::format("{}:{}", path, number), {64_MiB, 64});
    const auto* object = value ? value->if_object() : nullptr;
    const auto* at = object != nullptr ? object->if_contains("line") : nullptr;
    if (at == nullptr || !at->is_int64() || at->as_int64() < 1 || at->as_int64() > kMostLines) {
      return fail(ErrorCode::conflict, fmt::format("{}:{}: this is no result of `skep run`", path, number),
                  "give another file with -o, or remove this one");
    }
    good += static_cast<int64_t>(line.size()) + 1;
    if (retry_failed && object->contains("error")) continue;
    if (!done(at->as_int64())) ++resumed_;
    mark(at->as_int64());
  }
  in.close();
  if (truncate(path.c_str(), good) != 0) return fail(ErrorCode::io, fmt::format("{}: {}", path, std::strerror(errno)));
  return {};
}

bool ResultFile::done(int64_t line) const {
  return line < static_cast<int64_t>(done_.size()) && done_[static_cast<size_t>(line)];
}

void ResultFile::mark(int64_t line) {
  if (line >= static_cast<int64_t>(done_.size())) done_.resize(static_cast<size_t>(line) + 1);
  done_[static_cast<size_t>(line)] = true;
}

Status ResultFile::write(const TaskLine& task, const agent::TaskResult& result, std::optional<bool> right) {
  json::object out = head(task);
  out["model"] = result.route.model;
  if (!result.route.tier.empty()) out["tier"] = result.route.tier;
  out["reason"] = result.route.reason;
  out["output"] = result.message.content;
  if (!result.message.reasoning.empty()) out["reasoning"] = result.message.reasoning;
  if (!result.message.tool_calls.empty()) {
    json::array calls;
    for (const auto& call : result.message.tool_calls) {
      calls.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
    }
    out["tool_calls"] = std::move(calls);
  }
  if (right) out["right"] = *right;
  out["finish_reason"] = result.finish_reason;
  out["prompt_tokens"] = result.usage.prompt_tokens;
  out["cached_tokens"] = result.usage.cached_tokens;
  out["completion_tokens"] = result.usage.completion_tokens;
  out["queued_s"] = rounded(result.queued);
  out["load_s"] = rounded(result.load);
  out["prefill_s"] = rounded(result.prefill);
  out["decode_s"] = rounded(result.decode);
  out["total_s"] = rounded(result.total);
  out["seed"] = result.seed;
  if (result.attempts > 1) out["attempts"] = result.attempts;
  return put(json::serialize(out), task.line);
}

Status ResultFile::write(const TaskLine& task, const Error& error) {
  json::object out = head(task);
  json::object body = {{"code", to_string(error.code)}, {"message", error.message}};
  if (!error.hint.empty()) body["hint"] = error.hint;
  out["error"] = std::move(body);
  return put(json::serialize(out), task.line);
}

Status ResultFile::put(const std::string& line, int64_t number) {
  std::string whole = line + "\n";
  if (std::fwrite(whole.data(), 1, whole.size(), file_.get()) != whole.size()) {
    return fail(ErrorCode::io, fmt::format("{}: {}", path_, std::strerror(errno)), "is the disk full?");
  }
  mark(number);
  return {};
}

Status ResultFile::flush() {
  if (std::fflush(file_.get()) != 0)
    return fail(ErrorCode::io, fmt::format("{}: {}", path_, std::strerror(errno)), "is the disk full?");
  return {};
}

}  // namespace skep::cli
