#include "daemon/daemon_state.h"

#include <spdlog/spdlog.h>

#include "daemon/daemon_context.h"
#include "daemon/options_from_config.h"
#include "engine/parked_file.h"
#include "store/postgres_events.h"
#include "store/sqlite_events.h"

namespace skep::daemon {
namespace {

constexpr Duration kSweep = std::chrono::seconds(60);  // of expired keys
constexpr size_t kSwept = 10'000;
constexpr int kSweepsOfArchives = 15;

store::StoreOptions store_options(const Config& config) {
  store::StoreOptions options;
  options.folder = config.state_folder + "/state";
  if (config.state.durable == "always") options.durability = store::Durability::always;
  options.limit = config.state.limit;
  return options;
}

cache::AnswerCacheOptions cache_options(const Config& config) {
  cache::AnswerCacheOptions options;
  options.memory = config.cache.memory;
  options.ttl = config.cache.ttl;
  options.write_through = config.cache.write == "through";
  return options;
}

agent::HomeOptions home_options(const Config& config) {
  agent::HomeOptions options;
  options.memory = config.sleep.memory;
  options.sleep_after = config.sleep.after;
  options.wakes_at_once = config.sleep.wakes;
  options.wake_timeout = config.sleep.wake_timeout;
  return options;
}

}  // namespace

Result<std::unique_ptr<DaemonState>> DaemonState::open(Parts parts) {
  std::unique_ptr<DaemonState> state(new DaemonState(std::move(parts)));
  const Config& config = state->parts_.config;
  EventLoop& loop = state->parts_.loop;
  if (config.state.enabled) {
    SKEP_TRY(state->store_, store::Store::open(store_options(config)));
    state->key_value_ = std::make_unique<store::LmdbKeyValue>(*state->store_, loop.clock());
    state->agents_ = std::make_unique<agent::AgentStore>(*state->store_);
    state->home_ = std::make_unique<agent::Home>(loop, *state->agents_, home_options(config));
    const auto asleep = [home = state->home_.get()](const std::string& name) {
      return home->phase(name) == agent::Phase::asleep;
    };
    state->parked_ = std::make_unique<ParkedContexts>(
        ParkedContexts::Parts{loop, config.state_folder + "/parked", *state->agents_, asleep});
    state->read_ahead_ = std::make_unique<ParkedReadAhead>(
        ParkedReadAhead::Parts{loop, config.state_folder + "/parked", room_to_read_ahead, engine::read_ahead});
    SKEP_CHECK(state->open_events());
  }
  SKEP_CHECK(state->open_cache());
  state->tasks_ = std::make_unique<agent::CachedTasks>(
      agent::CachedTasks::Parts{loop, state->parts_.dispatcher, state->parts_.planner, state->parts_.roster,
                                state->cache_.get(), nullptr, state->parts_.content_of, state->parts_.basis});
  state->window_ = std::make_unique<WindowedTasks>(
      WindowedTasks::Parts{loop, config, state->parts_.dispatcher, state->parts_.planner, state->parts_.directory,
                           state->parts_.residency, state->parts_.backend, *state->tasks_});
  if (state->home_) {
    state->mail_ = std::make_unique<agent::Correspondence>(
        agent::Correspondence::Parts{loop, *state->home_, *state->agents_, state->parts_.dispatcher, *state->window_,
                                     state->parts_.roster},
        agent::CorrespondenceOptions{});
  }
  state->wire();
  return state;
}

DaemonState::~DaemonState() {
  *alive_ = false;
  gate_->close();
  parts_.loop.cancel(sweep_);
}

void DaemonState::elsewhere(std::function<void()> work, std::function<void()> done) {
  parts_.loop.blocking([gate = gate_, work = std::move(work)] { gate->pass(work); },
                       [alive = alive_, done = std::move(done)] {
                         if (*alive) done();
                       });
}

Status DaemonState::open_cache() {
  if (!parts_.config.cache.enabled) return {};
  SKEP_TRY(levels_, CacheLevels::open(parts_.loop, parts_.config, key_value_.get()));
  cache_ = std::make_unique<cache::AnswerCache>(parts_.loop.clock(), levels_->all(), cache_options(parts_.config));
  return {};
}

Status DaemonState::open_events() {
  const Config::Events& config = parts_.config.events;
  if (config.store == "off") return {};
  std::unique_ptr<store::EventStore> where;
  if (config.store == "postgresql") {
    store::PostgresOptions options;
    SKEP_TRY(options.url, address_from_environment("events.url_env", config.url_env));
    if (!config.replica_url_env.empty()) {
      SKEP_TRY(options.replica_url, address_from_environment("events.replica_url_env", config.replica_url_env));
    }
    where = store::PostgresEvents::make(std::move(options));
  } else {
    auto opened = store::SqliteEvents::open(parts_.config.state_folder + "/state/events.db");
    if (!opened) {  // nothing depends on the log: serving goes on without
      spdlog::warn("no event log: {}", opened.error().text());
      return {};
    }
    where = std::move(*opened);
  }
  store::EventLogOptions options;
  options.queue = static_cast<size_t>(config.queue);
  options.retention = config.retention;
  events_ = std::make_unique<store::EventLog>(std::move(where), parts_.loop.clock(), options);
  return {};
}

void DaemonState::wire() {
  tasks_->on_cached([this](const agent::TaskResult& result, const agent::CacheNote& note) {
    parts_.metrics.counter("skep_cache_hits_total", "Tasks answered from the response cache", {{"level", note.level}})
        .add();
    store::Event event;
    event.kind = "answer.cached";
    event.agent = result.agent;
    event.model = result.route.model;
    event.tier = result.route.tier;
    event.task = static_cast<int64_t>(result.id);
    event.seconds = seconds(note.age);
    event.detail = note.level;
    record(std::move(event));
  });
  if (!home_) return;
  home_->on_event([this](const agent::Home::Event& heard) {
    using Kind = agent::Home::Event::Kind;
    store::Event event;
    event.kind = heard.kind == Kind::woke    ? "agent.woke"
                 : heard.kind == Kind::slept ? "agent.slept"
                                             : "agent.quarantined";
    event.agent = heard.agent;
    event.seconds = seconds(heard.took);
    event.detail = heard.reason;
    if (heard.kind == Kind::slept) parked_->slept(heard.agent);
    if (heard.kind == Kind::woke) read_ahead_->woke(heard.state->parked());
    if (heard.kind == Kind::quarantined) spdlog::error("{}", heard.reason);
    if (heard.kind == Kind::woke) {
      parts_.metrics.histogram("skep_agent_wake_seconds", "From the wish to wake an agent to its state in memory")
          .observe(event.seconds);
    }
    record(std::move(event));
  });
  mail_->on_letter([this](const std::string& agent, const agent::Letter& letter, const Error* failure) {
    store::Event event;
    event.kind = failure == nullptr ? "letter.answered" : "letter.failed";
    event.agent = agent;
    event.caller = letter.from;
    if (failure != nullptr) event.detail = failure->text();
    record(std::move(event));
  });
  report_damage();
  parked_->note_all();
  mail_->recover();
  sweep();
}

// What a damaged file has cost, and whom: they are set apart, and everybody else goes on.
void DaemonState::report_damage() {
  if (const auto& salvaged = store_->salvaged()) {
    spdlog::error("the state store is damaged ({}{}): {} records could be read; the file is kept as {}",
                  salvaged->damage.front(), salvaged->damage.size() > 1 ? ", and more" : "", salvaged->records,
                  salvaged->kept);
  }
  const auto names = agents_->incomplete();
  if (!names) return spdlog::error("state: {}", names.error().text());
  for (const std::string& name : *names) {
    if (auto state = agents_->load(name); !state) home_->set_apart(name, state.error());
  }
}

// Expired keys go, a batch a minute, elsewhere than on the loop.
void DaemonState::sweep() {
  sweep_ = parts_.loop.after(kSweep, [this] {
    elsewhere(
        [kv = key_value_.get()] {
          auto removed = kv->sweep(kSwept);
          (void)removed;  // what fails now is tried again
        },
        [this] { sweep(); });
    if (sweeps_++ % kSweepsOfArchives == 0) bound_archives();
  });
}

void DaemonState::bound_archives() {
  if (facts_ == nullptr) return;
  const Config::Context& config = parts_.config.context;
  memory::Filter unnamed;  // anybody's
  unnamed.tags = {kUnnamedTag};
  facts_->keep_newest(unnamed, static_cast<size_t>(config.archive), parts_.loop.clock().wall() - config.archive_for,
                      [](const Result<size_t>&) {});  // what fails now is tried again
}

agent::TaskId DaemonState::submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) {
  if (request.conversation.empty()) {
    const agent::TaskId id = parts_.dispatcher.reserve();
    window_->submit(id, std::move(request), std::move(listener));
    return id;
  }
  if (request.agent.empty() && parts_.roster.find(request.model) != nullptr) request.agent = request.model;
  auto refuse = [&](Error error) {
    agent::TaskId id = parts_.dispatcher.reserve();
    parts_.loop.post([id, listener = std::move(listener), error = std::move(error)] {
      listener->failed({id, error, {}});
    });
    return id;
  };
  if (!mail_) return refuse({ErrorCode::unsupported, "conversations are not remembered here", "set state.enabled"});
  if (request.agent.empty()) {
    return refuse({ErrorCode::invalid_argument, "a conversation belongs to an agent", "name one of the roster's"});
  }
  std::string conversation = request.conversation;
  return mail_->say(std::move(request), conversation, std::move(listener));
}

void DaemonState::cancel(agent::TaskId task) {
  if (mail_) mail_->cancel(task);
  window_->cancel(task);
}

void DaemonState::use(memory::MemoryService* memory) {
  facts_ = memory;
  window_->use(memory);
}

agent::Phase DaemonState::phase(const std::string& agent) const {
  return home_ ? home_->phase(agent) : agent::Phase::asleep;
}

void DaemonState::record(store::Event event) {
  if (events_) events_->add(std::move(event));
}

void DaemonState::record_levels() const {
  for (const cache::Level* level : cache_->levels()) {
    const auto c = level->counters();
    const telemetry::Labels labels = {{"level", level->name()}};
    const auto count = [&](const char* name, const char* help, int64_t total) {
      parts_.metrics.count_to(static_cast<double>(total), name, help, labels);
    };
    count("skep_cache_level_hits_total", "Answers found below memory", c.hits);
    count("skep_cache_level_misses_total", "Answers looked for below memory and not found", c.misses);
    count("skep_cache_level_late_total", "Look-ups below memory that took too long", c.late);
    count("skep_cache_level_skipped_total", "Look-ups not made: the level is away, or too many wait", c.skipped);
    count("skep_cache_level_written_total", "Answers written below memory", c.written);
    count("skep_cache_level_shed_total", "Answers that found the level's queue full, or were refused", c.shed);
    count("skep_cache_level_failures_total", "Calls to the level that failed", c.failures);
    parts_.metrics.gauge("skep_cache_level_waiting_bytes", "Answers that wait to be written", labels)
        .set(static_cast<double>(c.waiting.count));
  }
}

void DaemonState::record_gauges() const {
  telemetry::Metrics& m = parts_.metrics;
  auto gauge = [&](const char* name, const char* help, double value) { m.gauge(name, help).set(value); };
  auto count = [&](const char* name, const char* help, auto total) {
    m.count_to(static_cast<double>(total), name, help);
  };
  const auto& tasks = tasks_->counters();
  double answered = static_cast<double>(tasks.hits + tasks.joined);
  double asked = answered + static_cast<double>(tasks.misses);
  gauge("skep_cache_hit_ratio", "Of the tasks that were looked up, since the start", asked > 0 ? answered / asked : 0);
  count("skep_cache_misses_total", "Tasks looked up and not found", tasks.misses);
  if (cache_) {
    gauge("skep_cache_memory_bytes", "Answers in memory", static_cast<double>(cache_->memory().count));
    gauge("skep_cache_entries", "Answers in memory", static_cast<double>(cache_->entries()));
    record_levels();
  }
  const auto& window = window_->counters();
  count("skep_context_fitted_total", "Prompts that were fitted into their context", window.fitted);
  count("skep_context_summaries_total", "Parts of conversations that were summarised", window.summaries);
  count("skep_context_extracts_total", "Summaries that no model could make", window.extracts);
  count("skep_context_waited_total", "Requests that waited for a summary", window.waited);
  if (events_) {
    auto events = events_->counters();
    count("skep_events_written_total", "Events in the log", events.written);
    count("skep_events_shed_total", "Events that found the log's queue full", events.shed);
    count("skep_events_dropped_total", "Events that the log's store can't keep", events.dropped);
    gauge("skep_events_waiting", "Events that wait for the log's store", static_cast<double>(events.waiting));
  }
  if (!home_) return;
  const auto& home = home_->counters();
  gauge("skep_agents_awake", "Agents whose state is in memory", static_cast<double>(home_->awake()));
  gauge("skep_agents_memory_bytes", "Their states", static_cast<double>(home_->memory().count));
  gauge("skep_agents_quarantined", "Agents whose state is broken", static_cast<double>(home_->quarantined().size()));
  count("skep_agent_wakes_total", "Agents that woke", home.wakes);
  count("skep_agent_sleeps_total", "Agents that fell asleep", home.sleeps);
  const auto& ahead = read_ahead_->counters();
  count("skep_parked_read_ahead_files_total", "Parked contexts read ahead of agents that woke", ahead.files);
  count("skep_parked_read_ahead_bytes_total", "Of them", ahead.bytes.count);
  store::Store::Usage usage = store_->usage();
  gauge("skep_state_file_bytes", "Of the state store", static_cast<double>(usage.used.count));
  gauge("skep_state_pending_bytes", "Written and not in the store's file yet",
        static_cast<double>(usage.pending.count));
  gauge("skep_state_refusing", "1: the disk is full and nothing is written", usage.refusing ? 1 : 0);
}

}  // namespace skep::daemon
