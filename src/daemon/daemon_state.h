#pragma once
// Everything that outlives a request, put together: the store, the agents' home and their correspondence, the context
// window, the response cache, the event log; and the API's view of it. Without a store (state.enabled: false), tasks
// still go through the window and the cache, which then has one level.

#include <memory>
#include <string>

#include "agent/cached_tasks.h"
#include "agent/correspondence.h"
#include "agent/home.h"
#include "api/state_backend.h"
#include "base/gate.h"
#include "daemon/cache_levels.h"
#include "daemon/config.h"
#include "daemon/parked_contexts.h"
#include "daemon/parked_read_ahead.h"
#include "daemon/windowed_tasks.h"
#include "store/event_log.h"
#include "store/lmdb_key_value.h"
#include "store/store.h"
#include "telemetry/metrics.h"

namespace skep::daemon {

class DaemonState final : public api::StateBackend {
 public:
  struct Parts {
    EventLoop& loop;
    const Config& config;
    const agent::Roster& roster;
    agent::Dispatcher& dispatcher;
    agent::Planner& planner;
    const ModelDirectory& directory;
    const model::Residency& residency;
    api::Backend& backend;
    std::function<std::string(const std::string& model, const std::string& adapter)> content_of;  // cached_tasks.h
    std::function<uint64_t(const std::string& agent)> basis;                                      // cached_tasks.h
    telemetry::Metrics& metrics;
  };
  // conflict: another process has the state open; io, corrupt. Lets the letters of an earlier run be answered.
  static Result<std::unique_ptr<DaemonState>> open(Parts parts);
  ~DaemonState() override;

  agent::TaskId submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener);
  void cancel(agent::TaskId task);

  [[nodiscard]] bool remembers() const { return home_ != nullptr; }
  [[nodiscard]] agent::Phase phase(const std::string& agent) const;
  void record(store::Event event);  // never waits
  void record_gauges() const;

  // Values in the store; null without one.
  [[nodiscard]] store::KeyValue* key_value() { return key_value_.get(); }
  [[nodiscard]] agent::CachedTasks& tasks() { return *tasks_; }
  // What is summarised goes there, and what is forgotten here is forgotten there. Outlives this.
  void use(memory::MemoryService* memory);

  void memory(const std::string& agent, const std::string& conversation, size_t limit,
              std::function<void(Result<api::MemoryView>)> done) override;
  void deliver(const std::string& agent, agent::Letter letter, std::function<void(Result<uint64_t>)> done) override;
  void forget_conversation(const std::string& agent, const std::string& conversation,
                           std::function<void(Status)> done) override;
  void export_agent(const std::string& agent, std::function<void(Result<std::string>)> done) override;
  void import_agent(const std::string& agent, std::string text, std::function<void(Status)> done) override;
  void forget_agent(const std::string& agent, std::function<void(Status)> done) override;
  void backup(const std::string& name, std::function<void(Result<api::BackupView>)> done) override;
  void log(store::EventFilter filter, std::function<void(Result<std::vector<store::Event>>)> done) override;
  [[nodiscard]] std::vector<std::string> problems() const override;
  [[nodiscard]] api::CacheView cache() const override;
  void invalidate(const std::string& tag, std::function<void(Status)> done) override;
  Status warm(const agent::TaskRequest& task, std::string answer) override;

 private:
  explicit DaemonState(Parts parts) : parts_(std::move(parts)) {}
  Status open_events();
  Status open_cache();
  void wire();
  void report_damage();
  void record_levels() const;
  void forget_contexts(const std::string& agent, std::function<void(Status)> done);
  void forget_traces(const std::string& agent, std::function<void(Status)> done);
  Status erase_traces(const std::string& agent);
  void sweep();
  void bound_archives();
  // `work` in the blocking pool, then `done` on the loop; neither once this is gone.
  void elsewhere(std::function<void()> work, std::function<void()> done);
  [[nodiscard]] Status known(const std::string& agent) const;

  Parts parts_;
  std::unique_ptr<store::EventLog> events_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::LmdbKeyValue> key_value_;
  std::unique_ptr<CacheLevels> levels_;
  std::unique_ptr<cache::AnswerCache> cache_;
  std::unique_ptr<agent::AgentStore> agents_;
  std::unique_ptr<agent::Home> home_;
  std::unique_ptr<ParkedContexts> parked_;
  std::unique_ptr<ParkedReadAhead> read_ahead_;
  std::unique_ptr<agent::CachedTasks> tasks_;
  std::unique_ptr<WindowedTasks> window_;
  std::unique_ptr<agent::Correspondence> mail_;
  memory::MemoryService* facts_ = nullptr;
  TimerId sweep_ = TimerId::none;
  int sweeps_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
};

}  // namespace skep::daemon
