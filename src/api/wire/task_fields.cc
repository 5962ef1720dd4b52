#include "api/wire/task_fields.h"

#include <charconv>

namespace skep::api::wire {

namespace {

constexpr int64_t kLongestDeadline = 24 * 3600 * 1000;  // ms

}  // namespace

void read_task_fields(Fields& body, const HttpRequest& request, agent::TaskRequest& task) {
  task.caller = request.caller.name;
  task.agent = body.text("agent").value_or(std::string(request.header("X-Skep-Agent")));
  task.adapter = body.text("adapter").value_or(std::string(request.header("X-Skep-Adapter")));
  task.input.task_type = body.text_or("task_type", "");

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
