#pragma once
// From skep.yaml to the options of each part. Pure, but for reading the machine's memory and secrets' variables.

#include <string>

#include "agent/context_keeper.h"
#include "agent/dispatcher.h"
#include "agent/language_planner.h"
#include "api/api_server.h"
#include "daemon/config.h"
#include "model/catalog.h"
#include "model/http_engine.h"
#include "model/residency.h"
#include "model/worker_engine.h"

namespace skep::daemon {

model::CatalogOptions catalog_options(const Config& config);
agent::ContextKeeperOptions context_options(const Config& config);
model::WorkerOptions worker_options(const Config& config, const std::string& engine_program);
Result<model::ResidencyOptions> residency_options(const Config& config);
model::HttpEngineOptions http_options(const RemoteEngine& remote);
agent::PlannerOptions planner_options(const Config& config);
agent::DispatcherOptions dispatcher_options(const Config& config);
Result<api::ServerOptions> server_options_from(const Config& config);

// A server's address, which may hold a password, out of the environment variable that the configuration names.
// `key`: where it names it, for errors.
Result<std::string> address_from_environment(const std::string& key, const std::string& variable);

// One line of the access log; no secrets, no bodies.
std::string access_line(const api::AccessRecord& record);

}  // namespace skep::daemon
