#pragma once
// The control API's answers as JSON: agents, tasks, resources, performance, routing. Sizes are in bytes, times in
// seconds (…_seconds) or milliseconds (…_ms).

#include <string>
#include <vector>

#include "api/backend.h"

namespace skep::api::wire {

std::string control_agents(const std::vector<AgentView>& agents);  // without their system prompts
std::string control_agent(const AgentView& agent);
std::string control_tasks(const std::vector<TaskView>& tasks);
std::string control_task(const TaskView& task);
std::string control_resources(const ResourceUsage& usage, const std::vector<RunningModel>& running);
std::string control_performance(const PerformanceReport& report);
std::string control_route(const Backend::Route& route);

}  // namespace skep::api::wire
