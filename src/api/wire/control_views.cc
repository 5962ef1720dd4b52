#include "api/wire/control_views.h"

#include <boost/json.hpp>

#include "api/wire/json_text.h"
#include "api/wire/ollama_time.h"

namespace skep::api::wire {

namespace json = boost::json;

namespace {

json::array texts(const std::vector<std::string>& values) {
  json::array result;
  for (const auto& value : values) result.emplace_back(value);
  return result;
}

json::object agent_value(const AgentView& agent) {
  return {{"name", agent.name},
          {"title", agent.title},
          {"tier", agent.tier},
          {"model", agent.model},
          {"state", agent.state},
          {"phase", agent.phase},
          {"priority", agent.priority},
          {"task_types", texts(agent.task_types)},
          {"tasks_done", agent.tasks_done},
          {"tasks_failed", agent.tasks_failed},
          {"tokens", agent.tokens}};
}

json::object task_value(const TaskView& task) {
  return {{"id", task.id},
          {"agent", task.agent},
          {"model", task.model},
          {"state", task.state},
          {"priority", task.priority},
          {"caller", task.caller},
          {"age_seconds", seconds(task.age)},
          {"completion_tokens", task.completion_tokens}};
}

json::value streamed_value(const engine::StreamedWeights& streamed) {
  if (streamed.all == Bytes(0)) return nullptr;
  return json::object{{"weight_bytes", streamed.all.count},
                      {"resident_bytes", streamed.resident.count},
                      {"disk_bytes_per_second", streamed.disk_bytes_per_second},
                      {"tokens_per_second", streamed.tokens_per_second}};
}

json::object running_value(const RunningModel& model) {
  json::value expires = nullptr;
  if (model.expires_at) expires = rfc3339(*model.expires_at);
  return {{"model", model.info.name},
          {"state", model.state},
          {"host_bytes", model.host_bytes.count},
          {"gpu_bytes", model.gpu_bytes.count},
          {"context_tokens", model.context_tokens},
          {"forward", model.forward},
          {"streamed", streamed_value(model.streamed)},
          {"generating", model.generating},
          {"waiting", model.waiting},
          {"slots", model.slots},
          {"loads", model.loads},
          {"expires_at", std::move(expires)}};
}

json::object quantiles(const LatencyQuantiles& latency) {
  return {{"p50", latency.p50}, {"p95", latency.p95}, {"p99", latency.p99}, {"count", latency.count}};
}

json::array rows(const std::vector<PerformanceReport::Row>& list) {
  json::array result;
  for (const auto& row : list) {
    result.emplace_back(json::object{{"name", row.name},
                                     {"tasks", row.tasks},
                                     {"failed", row.failed},
                                     {"prompt_tokens", row.prompt_tokens},
                                     {"cached_tokens", row.cached_tokens},
                                     {"completion_tokens", row.completion_tokens},
                                     {"total_seconds", quantiles(row.total)},
                                     {"queued_seconds", quantiles(row.queued)},
                                     {"first_token_seconds", quantiles(row.first_token)},
                                     {"loads", row.loads}});
  }
  return result;
}

json::object named(const std::vector<std::pair<std::string, double>>& values) {
  json::object result;
  for (const auto& [name, value] : values) result[name] = value;
  return result;
}

}  // namespace

std::string control_agents(const std::vector<AgentView>& agents) {
  json::array list;
  for (const auto& agent : agents) list.emplace_back(agent_value(agent));
  return to_text(json::object{{"agents", std::move(list)}});
}

std::string control_agent(const AgentView& agent) {
  json::object value = agent_value(agent);
  value["system_prompt"] = agent.system_prompt;
  return to_text(value);
}

std::string control_tasks(const std::vector<TaskView>& tasks) {
  json::array list;
  for (const auto& task : tasks) list.emplace_back(task_value(task));
  return to_text(json::object{{"tasks", std::move(list)}});
}

std::string control_task(const TaskView& task) { return to_text(task_value(task)); }

std::string control_resources(const ResourceUsage& usage, const std::vector<RunningModel>& running) {
  json::array entries, models;
  for (const auto& entry : usage.entries) {
    entries.emplace_back(json::object{{"what", entry.what},
                                      {"device", entry.device},
                                      {"weights_bytes", entry.weights.count},
                                      {"kv_bytes", entry.kv.count},
                                      {"compute_bytes", entry.compute.count},
                                      {"overhead_bytes", entry.overhead.count},
                                      {"reserved_bytes", entry.reserved.count},
                                      {"measured_bytes", entry.measured.count}});
  }
  for (const auto& model : running) models.emplace_back(running_value(model));
  return to_text(json::object{{"memory", json::object{{"budget_bytes", usage.budget.count},
                                                      {"reserved_bytes", usage.reserved.count},
                                                      {"measured_bytes", usage.measured.count},
                                                      {"total_bytes", usage.memory_total.count},
                                                      {"available_bytes", usage.memory_available.count},
                                                      {"ledger", std::move(entries)}}},
                              {"cpu", json::object{{"percent", usage.cpu_percent}, {"cores", usage.cores}}},
                              {"queue", json::object{{"length", usage.queue_length}, {"limit", usage.queue_limit}}},
                              {"engines", json::object{{"resident", usage.engines_resident},
                                                       {"resident_limit", usage.engines_limit},
                                                       {"generating", usage.engines_generating},
                                                       {"generating_limit", usage.engines_generating_limit},
                                                       {"models", std::move(models)}}}});
}

namespace {

json::array engines(const std::vector<PerformanceReport::EngineRow>& rows) {
  json::array all;
  for (const auto& [model, h] : rows) {
    json::array changes;
    for (const engine::PolicyChange& c : h.changes) {
      changes.push_back(json::object{{"setting", c.setting}, {"to", c.to}, {"why", c.why}, {"unix_ms", c.when}});
    }
    all.push_back(json::object{{"model", model},
                               {"generating", h.generating},
                               {"waiting", h.waiting},
                               {"kv_cells", h.kv_cells_used},
                               {"prompt_tokens", h.prompt_tokens},
                               {"generated_tokens", h.generated_tokens},
                               {"step_ms", h.step_seconds * 1e3},
                               {"parked_memory_bytes", h.parked_memory.count},
                               {"parked_disk_bytes", h.parked_disk.count},
                               {"preemptions", h.preemptions},
                               {"draft_tokens", h.draft_tokens},
                               {"draft_accepted", h.draft_accepted},
                               {"adapters", h.adapters},
                               {"adapter_bytes", h.adapter_bytes.count},
                               {"threads", h.threads},
                               {"cpus", h.cpus},
                               {"niceness", h.niceness},
                               {"cpu_cores", h.cpu_cores},
                               {"cpu_allowed_cores", h.cpu_allowed},
                               {"cpu_rested_seconds", h.cpu_rested},
                               {"policy_changes", h.policy_changes},
                               {"changes", std::move(changes)}});
  }
  return all;
}

}  // namespace

std::string control_performance(const PerformanceReport& report) {
  return to_text(json::object{
      {"uptime_seconds", seconds(report.uptime)},
      {"tokens_per_second", report.tokens_per_second},
      {"tiers", rows(report.tiers)},
      {"models", rows(report.models)},
      {"engines", engines(report.engines)},
      {"preemptions", json::object{{"parked", report.preempted_in_place}, {"stopped", report.preempted_for_others}}}});
}

std::string control_route(const Backend::Route& route) {
  return to_text(json::object{{"model", route.decision.model},
                              {"tier", route.decision.tier},
                              {"reason", route.decision.reason},
                              {"complexity", route.decision.complexity},
                              {"factors", named(route.factors)},
                              {"weights", named(route.weights)},
                              {"explanation", route.explanation},
                              {"took_ms", seconds(route.took) * 1e3}});
}

}  // namespace skep::api::wire
