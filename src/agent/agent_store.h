#pragma once
// Agents' states in the store, part by part (doc/state.md has the keys). Stateless but for the store; load() may be
// called from any thread, so that it can wait for the disk elsewhere than on the event loop.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent_state.h"
#include "store/store.h"

namespace skep::agent {

class AgentStore {
 public:
  explicit AgentStore(store::Store& store) : store_(&store) {}

  // A new, empty one for a name that has none yet. corrupt: a part fails its checks; the error names the agent.
  [[nodiscard]] Result<AgentState> load(const std::string& agent) const;
  // Hears when a write is safe, or why it may not be (Store::update): perhaps from inside, perhaps on another thread.
  // Empty: nobody wants to know.
  using Safe = std::function<void(Status)>;
  // The dirty parts, all or nothing; cleans the state. On failure the state in memory is ahead of the disk: drop it.
  Status save(const std::string& agent, AgentState& state, Safe safe = {});
  // Notes which files hold parked cells of the agent; writes what changed. Of an agent that has no state, nothing. May
  // be called while it is awake: nobody else writes these parts, and what is awake may know an older note. One caller
  // at a time, any thread.
  Status note_parked(const std::string& agent, std::map<std::string, ParkedCells> files);
  // Everything of the agent goes, broken parts too.
  Status forget(const std::string& agent, Safe safe = {});

  // Why nothing can be saved just now (the disk is full), so that nobody begins what could not be remembered.
  [[nodiscard]] std::optional<Error> refusing() const { return store_->refusing(); }

  [[nodiscard]] Result<std::vector<std::string>> agents(const std::string& after = "", size_t limit = 1000) const;
  [[nodiscard]] Result<std::vector<std::string>> agents_with_mail() const;
  // Agents of which a damaged page may have held something: load() refuses them until they are forgotten or imported.
  [[nodiscard]] Result<std::vector<std::string>> incomplete() const;

  // One agent as a text file of lines: a header, then a line per part (kind, name, number, base64 of its bytes), and a
  // checksum over all; without what is parked in files of this machine. import_agent() replaces the agent of that name:
  // all or nothing.
  [[nodiscard]] Result<std::string> export_agent(const std::string& agent) const;
  Status import_agent(const std::string& agent, std::string_view text, Safe safe = {});
  // The stored records of a broken agent as they are, for a look at what is left.
  [[nodiscard]] Result<std::string> salvage(const std::string& agent) const;

 private:
  store::Store* store_;
};

}  // namespace skep::agent
