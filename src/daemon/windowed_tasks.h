#pragma once
// The context window in front of the response cache: a task whose conversation is too long for its model is fitted
// first (agent/context_keeper.h), all others go on at once. So the cache's key is over what the model really sees.
//
// Lives on the event loop; the parts outlive it.

#include <memory>
#include <optional>
#include <unordered_set>

#include "agent/cached_tasks.h"
#include "agent/context_keeper.h"
#include "agent/tasks.h"
#include "api/backend.h"
#include "daemon/config.h"
#include "daemon/model_directory.h"
#include "memory/memory_service.h"
#include "model/residency.h"

namespace skep::daemon {

class WindowedTasks final : public agent::Tasks {
 public:
  struct Parts {
    EventLoop& loop;
    const Config& config;
    agent::Dispatcher& dispatcher;
    agent::Planner& planner;
    const ModelDirectory& directory;
    const model::Residency& residency;
    api::Backend& backend;  // counts tokens
    agent::CachedTasks& tasks;
  };
  explicit WindowedTasks(Parts parts);

  void submit(agent::TaskId id, agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) override;
  void cancel(agent::TaskId task) override;

  // Where summarised messages are kept to be recalled; null: nowhere. Outlives this, or is taken back.
  void use(memory::MemoryService* memory) { memory_ = memory; }
  void forget_agent(const std::string& agent) { context_.forget_agent(agent); }
  [[nodiscard]] const agent::ContextKeeper::Counters& counters() const { return context_.counters(); }

 private:
  struct Room {
    int tokens = 0;     // that the prompt should have at most
    int all = 0;        // that the model has room for: what must stay may need it
    std::string agent;  // who answers, where the task's model names one
  };
  // Nothing: the task is short, or none that the window looks after.
  [[nodiscard]] std::optional<Room> room_for(const agent::TaskRequest& request);
  void fit(agent::TaskId id, agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener, int tokens,
           int all);

  Parts parts_;
  memory::MemoryService* memory_ = nullptr;
  agent::ContextKeeper context_;
  std::unordered_set<agent::TaskId> preparing_;  // tasks whose conversation is being fitted
};

// How a conversation is called in the archive. One that its agent remembers has a name; others are known by how they
// began, and by whom.
std::string archive_name(const agent::TaskRequest& request);
std::string archive_name(const std::string& agent, const std::string& conversation);

}  // namespace skep::daemon
