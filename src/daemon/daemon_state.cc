#include "daemon/daemon_state.h"

#include <spdlog/spdlog.h>

#include <filesystem>

#include "daemon/daemon_context.h"
#include "daemon/memory_export.h"
#include "daemon/options_from_config.h"
#include "daemon/parked_folder.h"
#include "store/impatient_key_value.h"
#include "store/postgres_events.h"
#include "store/redis_key_value.h"
#include "store/sqlite_events.h"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;

constexpr Duration kSweep = std::chrono::seconds(60);  // of expired keys
constexpr int kSweepsOfArchives = 15;
// The loop waits for the cache's server: no longer than this, and then not for some seconds (impatient_key_value.h).
constexpr Duration kCacheWait = std::chrono::milliseconds(50);

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
  options.disk = config.cache.disk;
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
    SKEP_CHECK(state->open_events());
  }
  SKEP_CHECK(state->open_cache());
  state->tasks_ = std::make_unique<agent::CachedTasks>(agent::CachedTasks::Parts{
      loop, state->parts_.dispatcher, state->parts_.planner, state->parts_.roster, state->cache_.get(), nullptr,
      state->parts_.content_of, config.cache.second, state->parts_.basis});
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
  const Config::Cache& config = parts_.config.cache;
  if (!config.enabled) return {};
  store::KeyValue* second = key_value_.get();
  if (config.second == "redis") {
    SKEP_TRY(store::RedisOptions options, store::parse_redis_url(config.redis));
    options.connections = 1;
    options.connect_timeout = options.call_timeout = kCacheWait;
    auto server = std::make_unique<store::RedisKeyValue>(std::move(options), config.prefix);
    answers_server_ = std::make_unique<store::ImpatientKeyValue>(std::move(server), parts_.loop.clock());
    second = answers_server_.get();
  }
  if (config.disk == Bytes(0)) second = nullptr;
  cache_ = std::make_unique<cache::AnswerCache>(parts_.loop.clock(), second, cache_options(parts_.config));
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
          auto removed = kv->sweep(10'000);
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

Status DaemonState::known(const std::string& agent) const {
  if (!home_) return fail(ErrorCode::unsupported, "nothing is remembered here: state is off", "set state.enabled");
  if (parts_.roster.find(agent) != nullptr) return {};
  return fail(ErrorCode::not_found, fmt::format("there is no agent '{}'", agent));
}

void DaemonState::memory(const std::string& agent, const std::string& conversation, size_t limit,
                         std::function<void(Result<api::MemoryView>)> done) {
  if (Status here = known(agent); !here) {
    return parts_.loop.post([done = std::move(done), error = here.error()] { done(fail(error)); });
  }
  // Looking wakes nobody: the store is read beside whoever is awake.
  auto state = std::make_shared<Result<agent::AgentState>>(agent::AgentState());
  auto parked = std::make_shared<ParkedFiles>();
  auto look = [store = agents_.get(), folder = parts_.config.state_folder + "/parked", agent, state, parked] {
    *state = store->load(agent);
    if (*state) *parked = still_parked(folder, (*state)->parked());
  };
  elsewhere(std::move(look), [this, agent, conversation, limit, state, parked, done = std::move(done)] {
    if (!*state) return done(fail(state->error()));
    api::MemoryView view;
    view.agent = agent;
    view.phase = to_string(phase(agent));
    view.size = (*state)->size();
    view.core = (*state)->core();
    for (const auto& [name, talk] : (*state)->conversations()) {
      view.conversations.push_back({name, talk.turns(), talk.dropped_turns});
    }
    view.shown = conversation;
    if (const agent::Conversation* talk = (*state)->conversation(conversation)) {
      size_t skip = talk->turns() > limit ? talk->turns() - limit : 0;
      for (const auto& [number, chunk] : talk->chunks) {
        for (const agent::Turn& turn : chunk.turns) {
          if (skip > 0) {
            --skip;
          } else {
            view.turns.push_back(turn);
          }
        }
      }
    }
    for (const auto& [file, cells] : *parked) view.parked.push_back({file, cells});
    view.mailbox.assign((*state)->mailbox().begin(), (*state)->mailbox().end());
    done(std::move(view));
  });
}

void DaemonState::deliver(const std::string& agent, agent::Letter letter, std::function<void(Result<uint64_t>)> done) {
  if (Status here = known(agent); !here) {
    return parts_.loop.post([done = std::move(done), error = here.error()] { done(fail(error)); });
  }
  mail_->deliver(agent, std::move(letter), std::move(done));
}

void DaemonState::forget_conversation(const std::string& agent, const std::string& conversation,
                                      std::function<void(Status)> done) {
  if (Status here = known(agent); !here) {
    return parts_.loop.post([done = std::move(done), here] { done(here); });
  }
  home_->visit(agent, [this, agent, conversation, done = std::move(done)](Result<agent::Visit> visit) {
    if (!visit) return done(fail(visit.error()));
    Status forgotten = visit->change([&](agent::AgentState& state) -> Status {
      state.forget_conversation(conversation);
      return {};
    });
    if (forgotten) forgotten = invalidate("agent:" + agent);  // its answers may repeat what was said
    if (!forgotten || facts_ == nullptr) return done(forgotten);
    // What the window put aside of it goes, too.
    memory::Filter archived;
    archived.agent = agent;
    archived.with_shared = false;
    archived.tags = {archive_tag(archive_name(agent, conversation))};
    facts_->forget(archived, [done](const Result<size_t>& gone) { done(gone ? Status() : fail(gone.error())); });
  });
}

void DaemonState::export_agent(const std::string& agent, std::function<void(Result<std::string>)> done) {
  if (Status here = known(agent); !here) {
    return parts_.loop.post([done = std::move(done), error = here.error()] { done(fail(error)); });
  }
  auto text = std::make_shared<Result<std::string>>("");
  elsewhere([store = agents_.get(), agent, text] { *text = store->export_agent(agent); },
            [this, agent, text, done = std::move(done)]() mutable {
              if (!*text || facts_ == nullptr) return done(std::move(*text));
              export_memory(*facts_, agent, [text, done = std::move(done)](const Result<std::string>& memory) {
                if (!memory) return done(fail(memory.error()));
                done(**text + *memory);
              });
            });
}

void DaemonState::import_agent(const std::string& agent, std::string text, std::function<void(Status)> done) {
  const ExportHalves halves = halves_of(text);
  Status here = known(agent);
  ImportedMemory memory;
  if (here && !halves.memory.empty()) {
    if (facts_ == nullptr) here = fail(ErrorCode::unsupported, "long-term memory is off here", "set long_term.store");
    if (auto parsed = here ? parse_memory(halves.memory, agent) : fail(here.error())) {
      memory = std::move(*parsed);
    } else {
      here = fail(parsed.error());
    }
  }
  if (here) here = home_->import_agent(agent, halves.state);
  if (here) {
    mail_->replaced(agent);
    window_->forget_agent(agent);
    mail_->recover();
  }
  if (here) here = invalidate("agent:" + agent);
  if (!here || halves.memory.empty()) return parts_.loop.post([done = std::move(done), here] { done(here); });
  import_memory(*facts_, agent, std::move(memory), std::move(done));
}

// First what the agent is and is found by, then, elsewhere, the traces that it left in files.
void DaemonState::forget_agent(const std::string& agent, std::function<void(Status)> done) {
  Status here = known(agent);
  if (here) here = home_->forget(agent);
  if (!here) return parts_.loop.post([done = std::move(done), here] { done(here); });
  mail_->replaced(agent);
  window_->forget_agent(agent);
  static_cast<void>(tasks_->forget_agent(agent));  // its L2 is gone through below
  auto erase = [this, agent, done = std::move(done)] {
    forget_contexts([this, agent, done] {
      auto erased = std::make_shared<Status>();
      elsewhere([this, agent, erased] { *erased = erase_traces(agent); }, [erased, done] { done(*erased); });
    });
  };
  if (facts_ == nullptr) return erase();
  facts_->forget_agent(agent, [alive = alive_, erase, done = std::move(done)](const Result<memory::Forgotten>& gone) {
    if (!*alive) return;
    if (!gone) return done(fail(gone.error()));
    erase();
  });
}

// Parked contexts are token by token what was said, by whomever: engines that may hold some end, and the files go. It
// costs time alone.
void DaemonState::forget_contexts(std::function<void()> done) {
  auto waiting = std::make_shared<size_t>(1);
  const auto one_less = [this, alive = alive_, waiting, done = std::move(done)] {
    if (!*alive || --*waiting > 0) return;
    elsewhere(
        [folder = parts_.config.state_folder + "/parked"] {
          std::error_code ignored;
          fs::remove_all(folder, ignored);
        },
        done);
  };
  for (const model::ResidentView& view : parts_.residency.views()) {
    if (view.process_id == 0) continue;  // on another machine
    ++*waiting;
    parts_.backend.unload(view.model, [one_less](const Status&) { one_less(); });
  }
  parts_.loop.post(one_less);
}

// In the blocking pool.
Status DaemonState::erase_traces(const std::string& agent) {
  SKEP_TRY([[maybe_unused]] const auto answers, cache::AnswerCache::erase_tagged(*key_value_, "agent:" + agent));
  if (events_) SKEP_CHECK(events_->forget(agent));
  return store_->purge();
}

void DaemonState::backup(const std::string& name, std::function<void(Result<api::BackupView>)> done) {
  bool plain = !name.empty() && name.size() < 128 && name.front() != '.' && name.find('/') == name.npos &&
               name.find('\0') == name.npos;
  if (!plain || !store_) {
    Error error = plain ? Error{ErrorCode::unsupported, "there is no state to back up", "set state.enabled"}
                        : Error{ErrorCode::invalid_argument, fmt::format("'{}' is no plain file name", name), ""};
    return parts_.loop.post([done = std::move(done), error] { done(fail(error)); });
  }
  auto made = std::make_shared<Result<api::BackupView>>(api::BackupView());
  std::string folder = parts_.config.state_folder + "/backups";
  elsewhere(
      [store = store_.get(), folder, name, made] {
        std::error_code error;
        fs::create_directories(folder, error);
        std::string path = folder + "/" + name;
        if (Status copied = store->backup(path); !copied) {
          *made = fail(copied.error());
          return;
        }
        *made = api::BackupView{path, Bytes(static_cast<int64_t>(fs::file_size(path, error)))};
      },
      [made, done = std::move(done)] { done(std::move(*made)); });
}

void DaemonState::log(store::EventFilter filter, std::function<void(Result<std::vector<store::Event>>)> done) {
  if (!events_) {
    return parts_.loop.post([done = std::move(done)] {
      done(fail(ErrorCode::unsupported, "there is no event log here", "set events.store"));
    });
  }
  auto events = std::make_shared<Result<std::vector<store::Event>>>(std::vector<store::Event>());
  elsewhere(
      [log = events_.get(), filter = std::move(filter), events] {
        log->flush(std::chrono::milliseconds(500));  // what happened before the question, if the store is there
        *events = log->query(filter);
      },
      [events, done = std::move(done)] { done(std::move(*events)); });
}

std::vector<std::string> DaemonState::problems() const {
  std::vector<std::string> all;
  if (store_) {
    if (const auto why = store_->refusing()) all.push_back("state: nothing new is remembered: " + why->text());
  }
  if (events_) {
    if (const auto why = events_->counters().trouble) all.push_back("event log: " + why->text());
  }
  return all;
}

api::CacheView DaemonState::cache() const {
  api::CacheView view;
  const auto& tasks = tasks_->counters();
  view.hits = tasks.hits;
  view.misses = tasks.misses;
  view.joined = tasks.joined;
  view.similar = tasks.similar;
  view.guarded = tasks.guarded;
  view.bypassed = tasks.bypassed;
  view.enabled = cache_ != nullptr;
  if (!cache_) return view;
  const auto& levels = cache_->counters();
  view.memory_hits = levels.memory_hits;
  view.disk_hits = levels.disk_hits;
  view.stored = levels.stored;
  view.evicted = levels.evicted;
  view.expired = levels.expired;
  view.invalidated = levels.invalidated;
  view.disk_failures = levels.disk_failures;
  view.memory = cache_->memory();
  view.entries = static_cast<int64_t>(cache_->entries());
  return view;
}

Status DaemonState::invalidate(const std::string& tag) { return tasks_->invalidate(tag); }

Status DaemonState::warm(const agent::TaskRequest& task, std::string answer) {
  language::Message message;
  message.role = "assistant";
  message.content = std::move(answer);
  return tasks_->warm(task, std::move(message));
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
  store::Store::Usage usage = store_->usage();
  gauge("skep_state_file_bytes", "Of the state store", static_cast<double>(usage.used.count));
  gauge("skep_state_pending_bytes", "Written and not in the store's file yet",
        static_cast<double>(usage.pending.count));
  gauge("skep_state_refusing", "1: the disk is full and nothing is written", usage.refusing ? 1 : 0);
}

}  // namespace skep::daemon
