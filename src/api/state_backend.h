#pragma once
// What the API needs of everything that outlives a request: agents' conversations and mailboxes, the response cache,
// the event log, backups. As with Backend, all on the event loop, and callbacks never come from inside the call.

#include <functional>
#include <string>
#include <vector>

#include "agent/agent_state.h"
#include "agent/task.h"
#include "base/result.h"
#include "base/units.h"
#include "store/event.h"

namespace skep::api {

struct MemoryView {  // what an agent has in its state
  std::string agent, phase;
  Bytes size;
  agent::Core core;
  struct Talk {
    std::string name;
    size_t turns = 0, dropped = 0;
  };
  std::vector<Talk> conversations;
  std::string shown;               // the conversation that was asked for …
  std::vector<agent::Turn> turns;  // … and its newest turns, oldest first
  std::vector<agent::Letter> mailbox;
  struct Parked {
    std::string file;
    agent::ParkedCells cells;
  };
  std::vector<Parked> parked;  // contexts that wait in files, as noted when the agent last fell asleep, and still there
};

struct CacheView {
  bool enabled = false;
  int64_t hits = 0, misses = 0, joined = 0, similar = 0, guarded = 0, bypassed = 0;  // tasks
  int64_t memory_hits = 0, stored = 0, evicted = 0, expired = 0, invalidated = 0;
  Bytes memory;
  int64_t entries = 0;  // in memory
  struct Level {        // below memory (cache/level.h)
    std::string name;   // disk, redis, database
    int64_t hits = 0, misses = 0, late = 0, skipped = 0, written = 0, shed = 0, failures = 0;
    Bytes waiting;
    std::string trouble;  // why nothing is written there now; empty: nothing is wrong
  };
  std::vector<Level> levels;
};

struct BackupView {
  std::string path;
  Bytes size;
};

class StateBackend {
 public:
  virtual ~StateBackend() = default;

  // The newest `limit` turns of the conversation.
  virtual void memory(const std::string& agent, const std::string& conversation, size_t limit,
                      std::function<void(Result<MemoryView>)> done) = 0;
  virtual void deliver(const std::string& agent, agent::Letter letter, std::function<void(Result<uint64_t>)> done) = 0;
  virtual void forget_conversation(const std::string& agent, const std::string& conversation,
                                   std::function<void(Status)> done) = 0;
  virtual void export_agent(const std::string& agent, std::function<void(Result<std::string>)> done) = 0;
  virtual void import_agent(const std::string& agent, std::string text, std::function<void(Status)> done) = 0;
  virtual void forget_agent(const std::string& agent, std::function<void(Status)> done) = 0;

  // Into the state folder's `backups`, under a plain file name.
  virtual void backup(const std::string& name, std::function<void(Result<BackupView>)> done) = 0;
  virtual void log(store::EventFilter filter, std::function<void(Result<std::vector<store::Event>>)> done) = 0;

  // What can't be written just now, and why; empty when all is well.
  [[nodiscard]] virtual std::vector<std::string> problems() const = 0;

  [[nodiscard]] virtual CacheView cache() const = 0;
  // Empty: everything. An error: a level could not note it yet.
  virtual void invalidate(const std::string& tag, std::function<void(Status)> done) = 0;
  virtual Status warm(const agent::TaskRequest& task, std::string answer) = 0;
};

}  // namespace skep::api
