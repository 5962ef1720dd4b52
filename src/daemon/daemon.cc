#include "daemon/daemon.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "agent/dispatcher.h"
#include "agent/language_planner.h"
#include "agent/roster.h"
#include "api/api_server.h"
#include "base/random.h"
#include "daemon/agent_memory.h"
#include "daemon/daemon_backend.h"
#include "daemon/daemon_state.h"
#include "daemon/model_directory.h"
#include "daemon/model_embedder.h"
#include "daemon/model_jobs.h"
#include "daemon/options_from_config.h"
#include "daemon/parked_folder.h"
#include "daemon/process_usage.h"
#include "memory/similar_questions.h"
#include "model/catalog.h"
#include "model/http_engine.h"
#include "model/null_engine.h"
#include "model/residency.h"
#include "model/worker_engine.h"
#include "telemetry/metrics.h"

namespace skep::daemon {

namespace {

using Remotes = std::map<std::string, std::unique_ptr<model::EngineFactory>>;

Result<Remotes> make_remotes(AsioEventLoop& loop, const Config& config) {
  Remotes remotes;
  for (const RemoteEngine& remote : config.remotes) {
    if (remote.kind == "null") {
      model::NullEngineOptions options;
      options.slots = remote.slots;
      remotes[remote.name] = std::make_unique<model::NullFactory>(loop, options);
      continue;
    }
    auto made = model::HttpFactory::create(loop, http_options(remote));
    if (!made) {
      Error error = made.error();
      error.message = fmt::format("remotes: {}: {}", remote.name, error.message);
      return fail(std::move(error));
    }
    remotes[remote.name] = std::move(*made);
  }
  return remotes;
}

std::map<std::string, model::EngineFactory*> by_name(const Remotes& remotes) {
  std::map<std::string, model::EngineFactory*> all;
  for (const auto& [name, factory] : remotes) all.emplace(name, factory.get());
  return all;
}

std::vector<std::string> adapters_of(const agent::Roster& roster) {
  std::set<std::string> names;
  for (const agent::AgentSpec& agent : roster.agents()) {
    if (!agent.adapter.empty()) names.insert(agent.adapter);
  }
  return {names.begin(), names.end()};
}

// Once, at the start: what has to be read for it is on the disk that engines will write to anyway.
void sweep_old_contexts(AsioEventLoop& loop, const Config& config, const model::Catalog& catalog) {
  std::vector<std::string> hashes;
  for (const model::ModelInfo& info : catalog.models()) hashes.push_back(info.hash);
  loop.blocking([config, hashes = std::move(hashes)] { sweep_parked(config, hashes); }, [] {});
}

}  // namespace

// In the order of who needs whom; the last made goes first.
struct Daemon::Impl {
  Impl(AsioEventLoop& l, DaemonOptions o, agent::Roster r, model::ResidencyOptions residency_options, Remotes made)
      : loop(l),
        options(std::move(o)),
        config(options.config),
        roster(std::move(r)),
        catalog(loop, catalog_options(config)),
        workers(loop, worker_options_within(residency_options)),
        remotes(std::move(made)),
        residency(loop, std::move(residency_options)),
        directory(config, catalog, residency, workers, by_name(remotes), adapters_of(roster)),
        planner(roster, directory, residency, planner_options(config)),
        dispatcher(loop, residency, planner, dispatcher_options(config)),
        usage(loop),
        jobs(loop, job_options()),
        backend({loop, config, roster, directory, residency, dispatcher, planner, usage, metrics, state}),
        embedder(config, directory, backend) {}

  Status open_state();
  ~Impl() {
    residency.on_event([](const model::ResidencyEvent&) {});  // nobody is left to hear
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  [[nodiscard]] model::WorkerOptions worker_options_within(const model::ResidencyOptions& residency_options);
  [[nodiscard]] ModelJobOptions job_options();
  void wire();
  void record(const model::ResidencyEvent& event);
  void record(const agent::TaskResult& result);
  Result<uint16_t> listen();
  Status open_memory();

  AsioEventLoop& loop;
  DaemonOptions options;
  const Config& config;
  Config config_without_state;  // in use where the state is another process's
  telemetry::Metrics metrics;
  agent::Roster roster;
  model::Catalog catalog;
  model::WorkerFactory workers;
  Remotes remotes;
  model::Residency residency;
  ModelDirectory directory;
  agent::LanguagePlanner planner;
  agent::Dispatcher dispatcher;
  std::unique_ptr<DaemonState> state;
  ProcessUsage usage;
  RunningModelJobs jobs;
  DaemonBackend backend;
  ModelEmbedder embedder;
  std::unique_ptr<AgentMemory> memory;
  std::unique_ptr<memory::SimilarQuestions> similar;
  std::unique_ptr<api::ApiServer> server;
  uint16_t port = 0;
  uint64_t catalog_changes = 0;
};

// Of this machine and its system: what an address like 127.0.0.1 means depends on it.
const std::string& machine_identity() {
  static const std::string identity = [] {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    std::ifstream file("/etc/machine-id");
    std::string id;
    std::getline(file, id);
    return fmt::format("{}|{}", host.data(), id);
  }();
  return identity;
}

// An answer is this model's as long as its file, the adapter's, and what changes its words stay the same.
std::string content_of(const Config& config, const ModelDirectory& directory, const model::Catalog& catalog,
                       const std::string& model, const std::string& adapter) {
  for (const RemoteEngine& remote : config.remotes) {
    if (remote.name == model) {
      return fmt::format("remote|{}|{}|{}|{}", machine_identity(), remote.kind, remote.url, remote.model);
    }
  }
  auto info = directory.find(model);
  if (!info || info->hash.empty()) return "";
  std::string named;
  if (!adapter.empty()) {
    const auto& files = catalog.models();
    const auto file = std::ranges::find(files, adapter, &model::ModelInfo::path);
    if (file == files.end() || file->hash.empty()) return "";
    named = file->hash + "|";
  }
  if (auto found = config.models.find(model); found != config.models.end()) {
    named += found->second.chat_template + "|" + found->second.kv_type;
  }
  return fmt::format("{}|{}|{}|{}", info->hash, config.engines.forward, config.engines.kv_type, named);
}

Status Daemon::Impl::open_state() {
  const auto content = [this](const std::string& model, const std::string& adapter) {
    return content_of(config, directory, catalog, model, adapter);
  };
  const auto basis = [this](const std::string& agent) {
    const std::string core = agent.empty() || !memory ? "" : memory->service().core_text(agent);
    return mix_bits(catalog_changes) ^ std::hash<std::string>()(core);
  };
  DaemonState::Parts parts{loop,      config,  roster,  dispatcher, planner, directory,
                           residency, backend, content, basis,      metrics};
  auto opened = DaemonState::open(parts);
  // A task file, or a second daemon, runs beside the one whose state it is. And where nobody asked for a state, none is
  // needed: a home that can't be written to.
  const bool without = !opened && (opened.error().code == ErrorCode::conflict ||
                                   (opened.error().code == ErrorCode::io && !config.names_state_folder));
  if (without) {
    spdlog::warn("{}: this process remembers nothing", opened.error().message);
    config_without_state = config;
    config_without_state.state.enabled = false;
    opened = DaemonState::open({loop, config_without_state, roster, dispatcher, planner, directory, residency, backend,
                                content, basis, metrics});
  }
  if (!opened) return fail(opened.error());
  state = std::move(*opened);
  return {};
}

void Daemon::Impl::record(const model::ResidencyEvent& heard) {
  store::Event event;
  event.kind = fmt::format("model.{}", to_string(heard.kind));
  event.model = heard.model;
  event.seconds = seconds(heard.took);
  event.detail = heard.reason;
  state->record(std::move(event));
}

void Daemon::Impl::record(const agent::TaskResult& result) {
  store::Event event;
  event.kind = "task.finished";
  event.agent = result.agent;
  event.model = result.route.model;
  event.tier = result.route.tier;
  event.task = static_cast<int64_t>(result.id);
  event.seconds = seconds(result.total);
  event.prompt_tokens = result.usage.prompt_tokens;
  event.completion_tokens = result.usage.completion_tokens;
  event.detail = result.route.reason;
  state->record(std::move(event));
}

// Workers are told what they may take at most, so that a model larger than that streams (engine/streaming.h). What is
// pinned stays beside it.
model::WorkerOptions Daemon::Impl::worker_options_within(const model::ResidencyOptions& residency_options) {
  model::WorkerOptions worker = worker_options(config, options.engine_program);
  const Bytes most = residency_options.budgets.front().capacity - residency_options.daemon_reserve - worker.overhead;
  worker.host_budget = [this, most](const engine::LoadOptions& load) {
    return most - residency.pinned_bytes(load.path);
  };
  return worker;
}

ModelJobOptions Daemon::Impl::job_options() {
  ModelJobOptions job_options;
  if (!options.engine_program.empty()) job_options.executable = options.engine_program;
  job_options.folders = config.model_folders;
  job_options.book = [this](const std::string& owner, Bytes bytes) { return residency.book(owner, bytes); };
  job_options.unbook = [this](const std::string& owner) { residency.unbook(owner); };
  return job_options;
}

// Who hears of what.
void Daemon::Impl::wire() {
  catalog.on_change([this] {
    ++catalog_changes;
    directory.refresh();
    dispatcher.wake();
  });
  residency.on_event([this](const model::ResidencyEvent& event) {
    using Kind = model::ResidencyEvent::Kind;
    switch (event.kind) {
      case Kind::loaded:
        spdlog::info("{} loaded in {:.2f} s{}{}", event.model, seconds(event.took), event.reason.empty() ? "" : ": ",
                     event.reason);
        break;
      case Kind::evicted:
      case Kind::unloaded:
        spdlog::info("{} {}: {}", event.model, to_string(event.kind), event.reason);
        break;
      case Kind::load_failed:
      case Kind::died:
        spdlog::warn("{} {}: {}", event.model, to_string(event.kind), event.reason);
        break;
      case Kind::loading:
        break;
    }
    metrics
        .counter("skep_residency_events_total", "Loads, evictions, ends and deaths of engines",
                 {{"kind", to_string(event.kind)}})
        .add();
    record(event);
    dispatcher.wake();
  });
  dispatcher.on_finished([this](const agent::TaskResult& result, Duration first_token) {
    if (result.cache.state != agent::CacheNote::State::hit) record(result);  // a hit is an event of its own
    telemetry::Labels tier = {{"tier", result.route.tier.empty() ? "none" : result.route.tier}};
    metrics.counter("skep_tasks_finished_total", "Tasks that were answered", tier).add();
    metrics.counter("skep_prompt_tokens_total", "Tokens of prompts", tier).add(result.usage.prompt_tokens);
    metrics.counter("skep_cached_tokens_total", "Tokens of prompts that were taken over, not evaluated", tier)
        .add(result.usage.cached_tokens);
    metrics.counter("skep_completion_tokens_total", "Tokens of answers", tier).add(result.usage.completion_tokens);
    metrics.histogram("skep_task_seconds", "From submission to the end of the answer", tier)
        .observe(seconds(result.total));
    metrics.histogram("skep_task_queued_seconds", "From submission until an engine took it", tier)
        .observe(seconds(result.queued));
    metrics.histogram("skep_task_first_token_seconds", "From submission to the first token", tier)
        .observe(seconds(first_token));
  });
  dispatcher.on_failed([this](const agent::TaskFailure& failure, const agent::RouteDecision& route,
                              const agent::TaskRequest& request) {
    store::Event event;
    event.kind = "task.failed";
    event.agent = request.agent;
    event.caller = request.caller;
    event.model = route.model;
    event.tier = route.tier;
    event.task = static_cast<int64_t>(failure.id);
    event.detail = failure.error.text();
    state->record(std::move(event));
    metrics
        .counter("skep_tasks_failed_total", "Tasks that ended in an error", {{"reason", to_string(failure.error.code)}})
        .add();
  });
  planner.on_load([this] {
    const scheduling::Scheduler& scheduler = dispatcher.scheduler();
    return static_cast<double>(scheduler.waiting()) / scheduler.config().caps.queue_length;
  });
  usage.on_sample([this](const ProcessUsage::Sample& sample) { residency.record_daemon_memory(sample.itself); });
  for (const agent::AgentSpec& agent : roster.agents()) {
    if (agent.tokens_per_minute > 0 || agent.concurrent > 0) {
      dispatcher.limit_agent(agent.name, {static_cast<double>(agent.tokens_per_minute), agent.concurrent});
    }
  }
  for (const ApiKey& key : config.api.keys) {
    if (key.tokens_per_minute > 0 || key.concurrent > 0) {
      dispatcher.limit_caller(key.name, {static_cast<double>(key.tokens_per_minute), key.concurrent});
    }
  }
}

// Memory builds on the state: without that there is none.
Status Daemon::Impl::open_memory() {
  if (!state->remembers()) return {};
  SKEP_TRY(memory, AgentMemory::open(loop, config, *state->key_value(), embedder));
  if (!memory) return {};
  state->use(&memory->service());
  similar = std::make_unique<memory::SimilarQuestions>(loop, memory->embedder());
  state->tasks().use(similar.get());
  planner.on_core([this](const std::string& agent) { return memory->service().core_text(agent); });
  return {};
}

Result<uint16_t> Daemon::Impl::listen() {
  SKEP_TRY(api::ServerOptions server_options, server_options_from(config));
  server_options.metrics = &metrics;
  server_options.known = &state->tasks();
  server_options.memory = memory ? &memory->service() : nullptr;
  server_options.jobs = &jobs;
  if (options.log_requests) {
    server_options.access_log = [](const api::AccessRecord& record) { spdlog::info("{}", access_line(record)); };
  }
  server = std::make_unique<api::ApiServer>(loop, backend, std::move(server_options));
  return server->start();
}

Result<std::unique_ptr<Daemon>> Daemon::make(AsioEventLoop& loop, DaemonOptions options) {
  spdlog::set_level(spdlog::level::from_str(options.config.log_level == "warn" ? "warning" : options.config.log_level));
  agent::Roster roster;
  if (!options.config.roster.empty()) {
    SKEP_TRY(roster, agent::Roster::read(options.config.roster));
  }
  SKEP_TRY(model::ResidencyOptions residency, residency_options(options.config));
  SKEP_TRY(Remotes remotes, make_remotes(loop, options.config));
  bool serve = options.serve;
  auto impl =
      std::make_unique<Impl>(loop, std::move(options), std::move(roster), std::move(residency), std::move(remotes));
  SKEP_CHECK(impl->open_state());
  impl->wire();
  impl->catalog.load();
  impl->directory.refresh();
  sweep_old_contexts(loop, impl->config, impl->catalog);
  for (const std::string& problem : impl->catalog.problems()) spdlog::warn("{}", problem);
  if (serve) {
    SKEP_CHECK(impl->open_memory());
    SKEP_TRY(impl->port, impl->listen());
  }
  impl->catalog.watch();
  impl->directory.preload();
  return std::unique_ptr<Daemon>(new Daemon(std::move(impl)));
}

Daemon::Daemon(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Daemon::~Daemon() = default;

api::Backend& Daemon::backend() { return impl_->backend; }
uint16_t Daemon::port() const { return impl_->port; }
Bytes Daemon::budget() const { return impl_->residency.ledger().capacity(); }

void Daemon::shut_down(std::function<void()> done) {
  auto end_engines = [this, done = std::move(done)] { impl_->residency.shut_down(done); };
  auto close_server = [this, end_engines] {
    if (impl_->server) return impl_->server->drain(end_engines);
    end_engines();
  };
  impl_->dispatcher.drain(close_server);
}

}  // namespace skep::daemon
