// What the API asks of the state: agents' memory, letters, exports and forgetting, backups, the log, the cache.

#include <filesystem>

#include "daemon/daemon_context.h"
#include "daemon/daemon_state.h"
#include "daemon/memory_export.h"
#include "daemon/parked_folder.h"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSwept = 10'000;  // expired keys at once

}  // namespace

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
    const auto forget_rest = [this, agent, conversation, done](const Status& forgotten) {
      if (!forgotten) return done(forgotten);
      // Its answers may repeat what was said.
      invalidate("agent:" + agent, [this, alive = alive_, agent, conversation, done](const Status& gone) {
        if (!*alive || !gone || facts_ == nullptr) return done(gone);
        // What the window put aside of it goes, too.
        memory::Filter archived;
        archived.agent = agent;
        archived.with_shared = false;
        archived.tags = {archive_tag(archive_name(agent, conversation))};
        facts_->forget(archived, [done](const Result<size_t>& count) { done(count ? Status() : fail(count.error())); });
      });
    };
    const auto forget = [&](agent::AgentState& state) -> Status {
      state.forget_conversation(conversation);
      return {};
    };
    if (Status accepted = visit->change(forget, forget_rest); !accepted) done(accepted);
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
  if (!here) return parts_.loop.post([done = std::move(done), here] { done(here); });
  const auto import_rest = [this, agent, memory = std::move(memory), has = !halves.memory.empty(),
                            done](const Status& written) {
    if (!written) return done(written);
    invalidate("agent:" + agent, [this, alive = alive_, agent, memory, has, done](const Status& gone) {
      if (!*alive || !gone || !has) return done(gone);
      import_memory(*facts_, agent, memory, done);
    });
  };
  here = home_->import_agent(agent, halves.state, import_rest);
  if (!here) return parts_.loop.post([done = std::move(done), here] { done(here); });
  mail_->replaced(agent);
  window_->forget_agent(agent);
  mail_->recover();
}

// First what the agent is and is found by, then, elsewhere, the traces that it left in files.
void DaemonState::forget_agent(const std::string& agent, std::function<void(Status)> done) {
  Status here = known(agent);
  if (here) here = home_->forget(agent);
  if (!here) return parts_.loop.post([done = std::move(done), here] { done(here); });
  mail_->replaced(agent);
  window_->forget_agent(agent);
  tasks_->forget_agent(agent, [this, alive = alive_, agent, done = std::move(done)](const Status& cache) {
    if (!*alive) return;
    // Whatever the cache's levels say, the rest goes.
    const auto told = [cache, done](const Status& rest) { done(rest ? cache : rest); };
    if (facts_ == nullptr) return forget_traces(agent, told);
    facts_->forget_agent(agent, [this, alive, agent, told](const Result<memory::Forgotten>& gone) {
      if (!*alive) return;
      if (!gone) return told(fail(gone.error()));
      forget_traces(agent, told);
    });
  });
}

// What parked contexts could not be removed, the rest of the agent goes all the same.
void DaemonState::forget_traces(const std::string& agent, std::function<void(Status)> done) {
  forget_contexts(agent, [this, agent, done = std::move(done)](const Status& contexts) {
    auto erased = std::make_shared<Status>();
    elsewhere([this, agent, erased] { *erased = erase_traces(agent); },
              [erased, contexts, done] { done(*erased ? contexts : *erased); });
  });
}

// Parked contexts are token by token what was said. Engines that may hold some of the agent's in memory end, which
// parks the others' too, and then its files go (forget_parked()). It costs time alone.
void DaemonState::forget_contexts(const std::string& agent, std::function<void(Status)> done) {
  auto waiting = std::make_shared<size_t>(1);
  const auto one_less = [this, alive = alive_, waiting, agent, done = std::move(done)] {
    if (!*alive || --*waiting > 0) return;
    auto gone = std::make_shared<Status>();
    elsewhere([folder = parts_.config.state_folder + "/parked", agent, gone] { *gone = forget_parked(folder, agent); },
              [gone, done] { done(*gone); });
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
  for (;;) {  // what has expired, and was not swept yet
    SKEP_TRY(const size_t swept, key_value_->sweep(kSwept));
    if (swept < kSwept) break;
  }
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
  const auto& memory = cache_->counters();
  view.memory_hits = memory.memory_hits;
  view.stored = memory.stored;
  view.evicted = memory.evicted;
  view.expired = memory.expired;
  view.invalidated = memory.invalidated;
  for (const cache::Level* level : cache_->levels()) {
    const auto c = level->counters();
    view.levels.push_back({level->name(), c.hits, c.misses, c.late, c.skipped, c.written, c.shed, c.failures, c.waiting,
                           c.trouble ? c.trouble->text() : ""});
  }
  view.memory = cache_->memory();
  view.entries = static_cast<int64_t>(cache_->entries());
  return view;
}

void DaemonState::invalidate(const std::string& tag, std::function<void(Status)> done) {
  tasks_->invalidate(tag, std::move(done));
}

Status DaemonState::warm(const agent::TaskRequest& task, std::string answer) {
  language::Message message;
  message.role = "assistant";
  message.content = std::move(answer);
  return tasks_->warm(task, std::move(message));
}

}  // namespace skep::daemon
