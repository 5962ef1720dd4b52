#include "daemon/options_from_config.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "model/gpu_memory.h"
#include "model/memory_budget.h"

namespace skep::daemon {

namespace {

// One book for each GPU, with the configured budget or what is free on it.
std::vector<model::Ledger::Book> gpu_books(const Config& config) {
  std::vector<model::Ledger::Book> books;
  std::vector<std::string> problems;
  for (const model::GpuMemory& gpu : model::read_gpu_memory(problems)) {
    const Bytes budget = config.memory.gpu_budget.value_or(model::default_gpu_budget(gpu));
    books.push_back({fmt::format("gpu{}", books.size()), budget});
    spdlog::info("{}: {}, {} free, budget {}", books.back().device, gpu.name, to_string(gpu.free), to_string(budget));
  }
  for (const std::string& problem : problems) spdlog::warn("{}", problem);
  // A driver that tells nothing: the first GPU, if the configuration says how large it is.
  if (books.empty() && config.memory.gpu_budget) books.push_back({"gpu0", *config.memory.gpu_budget});
  return books;
}

api::HttpLimits http_limits(const Config& config) {
  api::HttpLimits limits;
  limits.connections = config.api.max_connections;
  limits.body = config.api.max_body;
  limits.idle = config.api.idle_timeout;
  return limits;
}

}  // namespace

model::CatalogOptions catalog_options(const Config& config) {
  model::CatalogOptions options;
  options.scan.folders = config.model_folders;
  for (const auto& [name, named] : config.models) {
    if (!named.path.empty()) options.scan.named.emplace(name, named.path);
  }
  return options;
}

agent::ContextKeeperOptions context_options(const Config& config) {
  agent::ContextKeeperOptions options;
  options.window.summarise_at = config.context.summarise_at;
  options.window.keep_last = static_cast<size_t>(config.context.keep_last);
  options.window.recalled = static_cast<size_t>(config.context.recalled);
  return options;
}

model::WorkerOptions worker_options(const Config& config, const std::string& engine_program) {
  model::WorkerOptions options;
  if (!engine_program.empty()) options.executable = engine_program;
  options.silence = config.engines.hang_timeout;
  options.load_silence = config.engines.load_timeout;
  options.memory_slack = config.memory.worker_slack;
  return options;
}

Result<model::ResidencyOptions> residency_options(const Config& config) {
  model::ResidencyOptions options;
  Bytes host = config.memory.budget.value_or(Bytes(0));
  if (!config.memory.budget) {
    SKEP_TRY(model::MachineMemory memory, model::read_machine_memory());
    host = model::default_budget(memory);
  }
  if (host < options.daemon_reserve + 16_MiB) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("memory.budget: {} is less than the daemon itself needs ({})", to_string(host),
                            to_string(options.daemon_reserve)),
                "give it at least 128 MiB");
  }
  options.budgets = {{"host", host}};
  const bool unified = config.memory.unified || model::memory_is_unified();
  if (!unified) {
    for (auto& book : gpu_books(config)) options.budgets.push_back(std::move(book));
  }
  options.unified_memory = unified;
  options.max_loaded = config.engines.max_loaded;
  options.keep_alive = config.engines.keep_alive;
  return options;
}

model::HttpEngineOptions http_options(const RemoteEngine& remote) {
  model::HttpEngineOptions options;
  options.url = remote.url;
  if (remote.kind == "ollama") options.dialect = model::HttpDialect::ollama;
  options.api_key_env = remote.api_key_env;
  options.slots = remote.slots;
  if (remote.batch_window) options.window = std::chrono::milliseconds(100);
  options.client.first_byte = remote.timeout;
  options.client.connect = std::min(options.client.connect, remote.timeout);
  return options;
}

agent::PlannerOptions planner_options(const Config& config) {
  agent::PlannerOptions options;
  const Config::Routing& routing = config.routing;
  options.routing.weights = {routing.reasoning, routing.context, routing.output, routing.domain};
  options.routing.deep_above = routing.deep_above;
  options.routing.balanced_above = routing.balanced_above;
  options.routing.deep_needs_free = routing.deep_needs_free;
  options.public_preambles = config.engines.public_preambles;
  const Config::Compression& compression = config.compression;
  options.compression = {compression.on, {compression.fast, compression.balanced, compression.deep}};
  for (int i = 0; i < language::kTaskTypes; ++i) {
    auto row = config.generation.task_types.find(to_string(static_cast<language::TaskType>(i)));
    if (row == config.generation.task_types.end()) continue;
    options.parameters.types.at(static_cast<size_t>(i)) = {static_cast<float>(row->second.temperature),
                                                           static_cast<float>(row->second.top_p)};
  }
  options.parameters.temperature_scale = {static_cast<float>(config.generation.fast_scale), 1.0F,
                                          static_cast<float>(config.generation.deep_scale)};
  for (language::Tier tier : language::kAllTiers) {
    if (auto found = config.tiers.find(to_string(tier)); found != config.tiers.end() && found->second.max_tokens > 0) {
      options.parameters.max_tokens.at(static_cast<size_t>(tier)) = found->second.max_tokens;
    }
  }
  return options;
}

agent::DispatcherOptions dispatcher_options(const Config& config) {
  agent::DispatcherOptions options;
  scheduling::Config& s = options.scheduling;
  s.caps.generating_engines = config.engines.max_generating;
  s.caps.queue_length = config.scheduling.queue;
  s.caps.running_tasks = config.scheduling.running > 0 ? config.scheduling.running : std::numeric_limits<int>::max();
  s.preemption = true;
  s.agent_limits = {static_cast<double>(config.scheduling.agent_tokens_per_minute), config.scheduling.agent_concurrent};
  s.aging_step = config.scheduling.aging;
  s.starvation_limit = std::max(s.starvation_limit, 4 * s.aging_step);
  // high, normal and background wait for the group a quarter, one and three times the configured time at most.
  Duration wait = config.scheduling.max_wait_for_group;
  s.group_wait = {Duration::zero(), wait / 4, wait, 3 * wait};
  return options;
}

Result<api::ServerOptions> server_options_from(const Config& config) {
  api::ServerOptions options;
  auto refuse = [&] {
    return fail(ErrorCode::invalid_argument, fmt::format("listen: '{}' is no address with a port", config.listen),
                "write it as 127.0.0.1:8051");
  };
  auto colon = config.listen.rfind(':');
  if (colon == config.listen.npos || colon == 0) return refuse();
  options.address = config.listen.substr(0, colon);
  if (options.address.starts_with('[') && options.address.ends_with(']')) {
    options.address = options.address.substr(1, options.address.size() - 2);
  }
  std::string port = config.listen.substr(colon + 1);
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != port.npos || std::stoi(port) > 65535)
    return refuse();
  options.port = static_cast<uint16_t>(std::stoi(port));
  options.limits = http_limits(config);
  options.auth.cors_origins = config.api.cors_origins;
  options.auth.allowed_hosts = config.api.allowed_hosts;
  for (const ApiKey& key : config.api.keys) {
    auto role = api::role_from(key.role);
    if (!role)
      return fail(ErrorCode::invalid_argument, fmt::format("api.keys: {}: no role is called '{}'", key.name, key.role));
    SKEP_TRY(api::ApiKey one, key.env.empty()
                                  ? api::api_key_from_hash(key.name, key.sha256, *role, key.requests_per_minute)
                                  : api::api_key_from_environment(key.name, key.env, *role, key.requests_per_minute));
    options.auth.keys.push_back(std::move(one));
  }
  return options;
}

Result<std::string> address_from_environment(const std::string& key, const std::string& variable) {
  const char* hint = "name an environment variable there, and put the server's address into it";
  if (variable.empty()) return fail(ErrorCode::invalid_argument, key + " is empty", hint);
  const char* value = std::getenv(variable.c_str());
  if (value != nullptr && *value != '\0') return std::string(value);
  return fail(ErrorCode::invalid_argument, fmt::format("{}: {} is not set", key, variable), hint);
}

std::string access_line(const api::AccessRecord& record) {
  return fmt::format("{} {} {} {} {:.1f} ms {}", record.method, record.path, record.status, to_string(record.sent),
                     seconds(record.took) * 1e3, record.caller);
}

}  // namespace skep::daemon
