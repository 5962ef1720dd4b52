#include "daemon/daemon_backend.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "api/performance_report.h"
#include "base/post_failure.h"
#include "mind/language/complexity.h"

namespace skep::daemon {
namespace {

// Leases the model's engine for one short question, without waiting behind tasks.
template <typename Question, typename Answer>
void ask_engine(model::Residency& residency, const std::string& model, Question question,
                void (model::Engine::*ask)(Question, std::function<void(Result<Answer>)>),
                std::function<void(Result<Answer>)> done) {
  residency.acquire(
      model, [question = std::move(question), ask, done = std::move(done)](Result<model::Lease> lease) mutable {
        if (!lease) return done(fail(lease.error()));
        auto held = std::make_shared<model::Lease>(std::move(*lease));
        if (held->engine() == nullptr)
          return done(fail(ErrorCode::unavailable, "the engine has just ended", "try again"));
        (held->engine()->*ask)(std::move(question),
                               [held, done = std::move(done)](Result<Answer> answer) { done(std::move(answer)); });
      });
}

const char* state_name(model::ResidentState state) {
  switch (state) {
    case model::ResidentState::loading:
      return "loading";
    case model::ResidentState::ready:
      return "ready";
    case model::ResidentState::draining:
    case model::ResidentState::unloading:
      return "unloading";
  }
  return "";
}

// A reason as a label: "threads waited 23 % of their time" is the same one as with 31 %.
std::string without_numbers(const std::string& text) {
  std::string plain;
  for (const char c : text) {
    const bool number = (c >= '0' && c <= '9') || c == '.';
    if (!number) plain += c;
    if (number && !plain.ends_with('#')) plain += '#';
  }
  return plain;
}

// By model, over all its workers. A model that is unloaded keeps its last values.
void record_engine(telemetry::Metrics& m, const std::string& model, int process, const engine::Heartbeat& h) {
  const auto set = [&](const char* name, const char* help, auto value) {
    m.gauge(name, help, {{"model", model}}).set(static_cast<double>(value));
  };
  const auto count = [&](const char* name, const char* help, auto total) {
    m.count_to(static_cast<double>(total), name, help, {{"model", model}}, process);
  };
  count("skep_engine_prompt_tokens_total", "Prompt tokens evaluated, without those taken over", h.prompt_tokens);
  count("skep_engine_generated_tokens_total", "Tokens generated", h.generated_tokens);
  set("skep_engine_kv_cells", "KV cells in use", h.kv_cells_used);
  set("skep_engine_step_seconds", "Mean of the last steps", h.step_seconds);
  set("skep_engine_parked_memory_bytes", "Contexts parked in host memory", h.parked_memory.count);
  set("skep_engine_parked_disk_bytes", "Contexts parked on disk", h.parked_disk.count);
  count("skep_engine_preemptions_total", "Sequences parked for critical ones", h.preemptions);
  count("skep_engine_draft_tokens_total", "Tokens guessed ahead", h.draft_tokens);
  count("skep_engine_draft_accepted_total", "Tokens guessed right", h.draft_accepted);
  set("skep_engine_adapter_bytes", "LoRA adapters loaded", h.adapter_bytes.count);
  set("skep_engine_threads", "Threads that a step runs on", h.threads);
  set("skep_engine_niceness", "Niceness of the worker", h.niceness);
  count("skep_engine_policy_changes_total", "Changes of threads, CPUs and niceness because of other processes",
        h.policy_changes);
  set("skep_engine_cpu_cores", "Cores that the worker kept busy in the last second", h.cpu_cores);
  set("skep_engine_cpu_allowed_cores", "Cores that it may at the moment; 0: no ceiling", h.cpu_allowed);
  count("skep_engine_cpu_rested_seconds_total", "Time that it paused for the ceiling", h.cpu_rested);
  // Why, when and to what: the last change of each setting.
  for (const engine::PolicyChange& change : h.changes) {
    m.gauge("skep_engine_policy_changed_timestamp_seconds", "When a setting was last changed, to what and why",
            {{"model", model}, {"setting", change.setting}, {"to", change.to}, {"why", without_numbers(change.why)}})
        .set(static_cast<double>(change.when) / 1e3);
  }
}

}  // namespace

DaemonBackend::DaemonBackend(Parts parts) : parts_(parts), began_(parts.loop.now()) {}

agent::TaskId DaemonBackend::submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) {
  return parts_.state->submit(std::move(request), std::move(listener));
}

void DaemonBackend::cancel(agent::TaskId task) { parts_.state->cancel(task); }

// Embeddings and token counts don't queue with the tasks: they are short, and the residency bounds how many wait.
api::Backend::EmbedId DaemonBackend::embed(std::string model, engine::Embed input, std::string caller,
                                           std::function<void(EmbedResult)> done) {
  const EmbedId id = next_embed_++;
  auto refuse = [&](const Error& error, std::optional<Duration> retry_after = {}) {
    parts_.loop.post(
        [done = std::move(done), error = api::ApiError{error, {}, retry_after}] { done(tl::unexpected(error)); });
    return id;
  };
  auto info = find_model(model);
  if (!info) return refuse(info.error());
  auto engine = parts_.directory.embedding_engine(*info);
  if (!engine) return refuse(engine.error());
  int estimate = 0;
  for (const std::string& text : input.inputs) estimate += language::estimate_tokens(text);
  for (const auto& tokens : input.token_inputs) estimate += static_cast<int>(tokens.size());
  if (auto admitted = parts_.dispatcher.admit_embedding(caller, estimate); !admitted) {
    return refuse(admitted.error().error, admitted.error().retry_after);
  }
  auto ended = [this, id, name = info->name, done = std::move(done)](Result<engine::Embeddings> answer) {
    auto over = embeddings_.extract(id);  // lets go of the engine after the answer
    if (!over.empty()) end_embedding(over.mapped(), answer ? answer->prompt_tokens : 0);
    if (!answer) return done(tl::unexpected(api::ApiError{answer.error(), {}}));
    done(EmbedAnswer{std::move(*answer), name});
  };
  auto acquired = [this, id, input = std::move(input), ended](Result<model::Lease> lease) mutable {
    if (!lease) return ended(fail(lease.error()));
    Embedding& work = embeddings_.at(id);
    work.waiter = 0;
    work.lease = std::move(*lease);
    if (!work.lease) return ended(fail(ErrorCode::unavailable, "the engine has just ended", "try again"));
    work.request = work.lease.engine()->embed(std::move(input), std::move(ended));
  };
  Embedding& work = embeddings_[id];
  work.caller = std::move(caller);
  work.estimate = estimate;
  work.began = parts_.loop.now();
  work.waiter = parts_.residency.acquire(*engine, std::move(acquired));
  return id;
}

void DaemonBackend::end_embedding(const Embedding& work, int used) {
  parts_.dispatcher.ended_embedding(work.caller, used - work.estimate, parts_.loop.now() - work.began);
}

void DaemonBackend::cancel_embed(EmbedId id) {
  auto over = embeddings_.extract(id);
  if (over.empty()) return;
  Embedding& work = over.mapped();
  end_embedding(work, work.request != 0 ? work.estimate : 0);
  if (work.waiter != 0) parts_.residency.cancel(work.waiter);
  if (work.request != 0 && work.lease) work.lease.engine()->cancel(work.request);
}

void DaemonBackend::tokenize(std::string model, engine::Tokenize input,
                             std::function<void(Result<engine::Tokens>)> done) {
  auto info = find_model(model);
  if (!info) return post_failure(parts_.loop, std::move(done), info.error());
  ask_engine(parts_.residency, info->name, std::move(input), &model::Engine::tokenize, std::move(done));
}

void DaemonBackend::score(std::string model, engine::Score input, std::function<void(Result<engine::Scores>)> done) {
  auto info = find_model(model);
  if (!info) return post_failure(parts_.loop, std::move(done), info.error());
  ask_engine(parts_.residency, info->name, std::move(input), &model::Engine::score, std::move(done));
}

Result<api::Backend::Route> DaemonBackend::route(const agent::TaskRequest& request) {
  TimePoint began = parts_.loop.now();
  SKEP_TRY(language::Route decision, parts_.planner.route(request));
  Route route;
  route.took = parts_.loop.now() - began;
  route.decision = {decision.model, decision.tier ? to_string(*decision.tier) : "", decision.reason,
                    decision.complexity.score};
  const auto& weights = parts_.planner.options().routing.weights;
  for (size_t i = 0; i < language::kFactors; ++i) {
    route.factors.emplace_back(language::kFactorNames.at(i), decision.complexity.factors.at(i));
    route.weights.emplace_back(language::kFactorNames.at(i), weights.at(i));
  }
  route.explanation = decision.explanation;
  return route;
}

std::vector<model::ModelInfo> DaemonBackend::models() const { return parts_.directory.models(); }

std::vector<std::pair<std::string, std::string>> DaemonBackend::aliases() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const char* tier : {"fast", "balanced", "deep"}) {
    if (auto model = parts_.directory.tier(tier)) all.emplace_back(tier, model->name);
  }
  if (auto model = find_model("auto")) all.emplace_back("auto", model->name);
  for (const agent::AgentSpec& agent : parts_.roster.agents()) {
    if (auto model = parts_.directory.tier(agent.tier)) all.emplace_back(agent.name, model->name);
  }
  return all;
}

// `auto` shows the balanced tier's model; which one answers is decided task by task.
Result<model::ModelInfo> DaemonBackend::find_model(const std::string& written) const {
  std::string name = written.ends_with(":latest") ? written.substr(0, written.size() - 7) : written;
  if (parts_.directory.is_tier(name)) return parts_.directory.tier(name);
  if (const agent::AgentSpec* agent = parts_.roster.find(name)) return parts_.directory.tier(agent->tier);
  if (name == "auto") {
    for (const char* tier : {"balanced", "fast", "deep"}) {
      if (auto model = parts_.directory.tier(tier)) return model;
    }
  }
  return parts_.directory.find(name);
}

std::vector<api::RunningModel> DaemonBackend::running() const {
  std::vector<api::RunningModel> all;
  const auto& scheduler = parts_.dispatcher.scheduler();
  for (const model::ResidentView& view : parts_.residency.views()) {
    api::RunningModel one;
    if (auto info = parts_.directory.find(view.model)) {
      one.info = *info;
    } else {
      one.info.name = view.model;
    }
    for (const model::Reservation& reservation : view.reserved) {
      (reservation.device == "host" ? one.host_bytes : one.gpu_bytes) += reservation.total();
    }
    one.context_tokens = view.context_tokens;
    if (view.expires) one.expires_at = parts_.loop.clock().wall() + (*view.expires - parts_.loop.now());
    one.state = state_name(view.state);
    one.forward = view.forward;
    one.streamed = view.streamed;
    one.generating = scheduler.running(view.model);
    one.waiting = scheduler.waiting(view.model);
    one.slots = view.slots;
    one.loads = view.loads;
    all.push_back(std::move(one));
  }
  return all;
}

void DaemonBackend::load(const std::string& name, std::optional<Duration> keep_alive,
                         std::function<void(Status)> done) {
  auto info = find_model(name);
  if (!info) return post_failure(parts_.loop, std::move(done), info.error());
  std::string engine = info->embeds ? *parts_.directory.embedding_engine(*info) : info->name;
  if (keep_alive) parts_.residency.set_keep_alive(engine, keep_alive);
  parts_.residency.ensure(engine, std::move(done));
}

void DaemonBackend::unload(const std::string& name, std::function<void(Status)> done) {
  auto info = find_model(name);
  if (!info) return post_failure(parts_.loop, std::move(done), info.error());
  parts_.residency.unload(info->name, std::move(done));
}

std::vector<api::AgentView> DaemonBackend::agents() const {
  std::vector<api::AgentView> all;
  for (const agent::AgentSpec& spec : parts_.roster.agents()) {
    api::AgentView view;
    view.name = spec.name;
    view.title = spec.title;
    view.tier = spec.tier;
    if (auto model = parts_.directory.tier(spec.tier)) view.model = model->name;
    view.state = parts_.dispatcher.works(spec.name)   ? "working"
                 : parts_.dispatcher.waits(spec.name) ? "waiting"
                                                      : "idle";
    view.phase = to_string(parts_.state->phase(spec.name));
    view.priority = scheduling::to_string(spec.priority);
    view.task_types = spec.task_types;
    view.system_prompt = spec.system_prompt;
    auto counts = parts_.dispatcher.statistics().agent(spec.name);
    view.tasks_done = counts.done;
    view.tasks_failed = counts.failed;
    view.tokens = counts.tokens;
    all.push_back(std::move(view));
  }
  return all;
}

std::vector<api::TaskView> DaemonBackend::tasks() const {
  std::vector<api::TaskView> all;
  for (const agent::TaskView& task : parts_.dispatcher.tasks()) {
    api::TaskView view;
    view.id = task.id;
    view.agent = task.agent;
    view.model = task.model;
    view.caller = task.caller;
    view.priority = scheduling::to_string(task.priority);
    if (task.state == agent::TaskView::State::running) {
      view.state = "running";
    } else {
      view.state = parts_.residency.state(task.model) == model::ResidentState::loading ? "loading" : "waiting";
    }
    view.age = task.age;
    view.completion_tokens = task.completion_tokens;
    all.push_back(std::move(view));
  }
  return all;
}

api::ResourceUsage DaemonBackend::resources() const {
  api::ResourceUsage usage;
  const model::Ledger& ledger = parts_.residency.ledger();
  const ProcessUsage::Sample& sample = parts_.usage.last();
  parts_.usage.look();
  usage.budget = ledger.capacity();
  usage.reserved = ledger.reserved();
  usage.measured = sample.tree;
  for (const model::Ledger::Entry& entry : ledger.entries()) {
    const model::Reservation& r = entry.reserved;
    usage.entries.push_back({entry.owner, r.device, r.weights, r.kv, r.compute, r.overhead, r.total(), entry.measured});
  }
  usage.cpu_percent = sample.cpu_percent;
  usage.cores = static_cast<int>(std::thread::hardware_concurrency());
  usage.memory_total = sample.memory_total;
  usage.memory_available = sample.memory_available;
  const auto& scheduler = parts_.dispatcher.scheduler();
  usage.queue_length = scheduler.waiting();
  usage.queue_limit = scheduler.config().caps.queue_length;
  usage.engines_resident = static_cast<int>(parts_.residency.views().size());
  usage.engines_limit = parts_.config.engines.max_loaded;
  usage.engines_generating = scheduler.generating_engines();
  usage.engines_generating_limit = scheduler.config().caps.generating_engines;
  return usage;
}

api::PerformanceReport DaemonBackend::performance() const {
  const agent::Statistics& statistics = parts_.dispatcher.statistics();
  api::PerformanceReport report = api::performance_report(statistics);
  report.uptime = parts_.loop.now() - began_;
  for (auto& row : report.models) row.loads = parts_.residency.loads(row.name);
  report.tokens_per_second = statistics.tokens_per_second(parts_.loop.now());
  for (const model::ResidentView& view : parts_.residency.views()) {
    if (view.state == model::ResidentState::ready && view.process_id != 0) {
      report.engines.push_back({view.model, view.heartbeat});
    }
  }
  report.preempted_in_place = parts_.dispatcher.preemptions().parked;
  report.preempted_for_others = parts_.dispatcher.preemptions().stopped;
  return report;
}

bool DaemonBackend::ready() const { return !parts_.dispatcher.draining(); }

std::string DaemonBackend::metrics() const {
  record_gauges();
  return parts_.metrics.render();
}

// What is known anyway is read when somebody asks, instead of being counted along.
void DaemonBackend::record_gauges() const {
  telemetry::Metrics& m = parts_.metrics;
  api::ResourceUsage usage = resources();
  m.gauge("skep_memory_budget_bytes", "Memory that may be used").set(static_cast<double>(usage.budget.count));
  m.gauge("skep_memory_reserved_bytes", "Memory that the ledger has reserved")
      .set(static_cast<double>(usage.reserved.count));
  m.gauge("skep_memory_measured_bytes", "PSS of the process tree").set(static_cast<double>(usage.measured.count));
  for (const char* purpose : {"weights", "kv", "compute", "overhead"}) {
    int64_t sum = 0;
    for (const api::LedgerEntry& entry : usage.entries) {
      std::string_view p = purpose;
      sum += (p == "weights"   ? entry.weights
              : p == "kv"      ? entry.kv
              : p == "compute" ? entry.compute
                               : entry.overhead)
                 .count;
    }
    m.gauge("skep_ledger_bytes", "Reserved memory by purpose", {{"purpose", purpose}}).set(static_cast<double>(sum));
  }
  m.gauge("skep_cpu_ratio", "CPU use of the process tree, of all cores").set(usage.cpu_percent / 100);
  m.gauge("skep_tasks_waiting", "Tasks in the queue").set(usage.queue_length);
  const auto count = [&](int64_t total, const char* name, const char* help, const telemetry::Labels& labels = {}) {
    m.count_to(static_cast<double>(total), name, help, labels);
  };
  count(parts_.planner.tokens_saved(), "skep_prompt_tokens_saved_total",
        "Tokens that prompts were shortened by, estimated");
  m.gauge("skep_tasks_running", "Tasks on engines").set(parts_.dispatcher.scheduler().running());
  m.gauge("skep_engines_resident", "Engines in memory").set(usage.engines_resident);
  m.gauge("skep_engines_generating", "Local engines that generate").set(usage.engines_generating);
  const model::Residency::Counters& counters = parts_.residency.counters();
  count(counters.loads, "skep_model_loads_total", "Loads of models");
  count(counters.load_failures, "skep_model_load_failures_total", "Loads that failed");
  count(counters.evictions, "skep_model_evictions_total", "Models that made place for others");
  count(counters.deaths, "skep_engine_deaths_total", "Workers that died");
  const agent::Dispatcher::Preemptions& preemptions = parts_.dispatcher.preemptions();
  const char* made_way = "Tasks that made way for critical ones";
  count(preemptions.parked, "skep_preemptions_total", made_way, {{"how", "parked"}});
  count(preemptions.stopped, "skep_preemptions_total", made_way, {{"how", "stopped"}});
  for (const model::ResidentView& view : parts_.residency.views()) {
    if (view.process_id != 0) record_engine(m, view.model, view.process_id, view.heartbeat);
  }
  parts_.state->record_gauges();
}

}  // namespace skep::daemon
