#include "api/wire/task_fields.h"

#include <algorithm>
#include <charconv>

namespace skep::api::wire {

namespace {

constexpr int64_t kLongestDeadline = 24 * 3600 * 1000;  // ms
constexpr size_t kMostTags = 16;
constexpr int64_t kLongestTtl = 30 * 24 * 3600;  // s

// Of the request's directives, those that say something about an answer that was kept: no-cache asks for a fresh one,
// no-store also forbids keeping that.
void read_cache_control(std::string_view header, agent::CachePolicy& policy) {
  for (size_t at = 0; at < header.size();) {
    size_t end = std::min(header.find(',', at), header.size());
    std::string_view directive = header.substr(at, end - at);
    at = end + 1;
    while (directive.starts_with(' ')) directive.remove_prefix(1);
    while (directive.ends_with(' ')) directive.remove_suffix(1);
    if (directive == "no-cache" || directive == "no-store" || directive == "max-age=0") policy.look_up = false;
    if (directive == "no-store") policy.store = false;
  }
}

}  // namespace

void read_task_fields(Fields& body, const HttpRequest& request, agent::TaskRequest& task) {
  task.caller = request.caller.name;
  task.agent = body.text("agent").value_or(std::string(request.header("X-Skep-Agent")));
  task.adapter = body.text("adapter").value_or(std::string(request.header("X-Skep-Adapter")));
  task.input.task_type = body.text_or("task_type", "");
  task.conversation = body.text("conversation").value_or(std::string(request.header("X-Skep-Conversation")));
  read_cache_control(request.header("Cache-Control"), task.cache);
  if (auto cache = body.object("cache")) {
    task.cache.tags = cache->texts("tags", kMostTags);
    if (auto ttl = cache->integer("ttl_seconds", 1, kLongestTtl)) task.cache.ttl = std::chrono::seconds(*ttl);
  }

  std::string priority = body.text("priority").value_or(std::string(request.header("X-Skep-Priority")));
  if (!priority.empty()) {
    task.priority = scheduling::priority_from(priority);
    if (!task.priority) body.bad("priority", "must be one of critical, high, normal, background");
  }

  std::optional<int64_t> deadline = body.integer("deadline_ms", 1, kLongestDeadline);
  std::string_view header = request.header("X-Skep-Deadline-Ms");
  if (!deadline && !header.empty()) {
    int64_t value = 0;
    auto [end, error] = std::from_chars(header.data(), header.data() + header.size(), value);
    if (error != std::errc() || end != header.data() + header.size() || value < 1 || value > kLongestDeadline) {
      body.bad("X-Skep-Deadline-Ms", "must be a number of milliseconds, at most a day");
    } else {
      deadline = value;
    }
  }
  if (deadline) task.deadline = std::chrono::milliseconds(*deadline);
}

std::vector<agent::TaskRequest> choices_of(const agent::TaskRequest& task, int count) {
  std::vector<agent::TaskRequest> tasks(static_cast<size_t>(count), task);
  for (size_t i = 0; i < tasks.size(); ++i) {
    auto& seed = tasks[i].input.overrides.seed;
    if (seed) *seed += static_cast<uint32_t>(i);
  }
  return tasks;
}

}  // namespace skep::api::wire
