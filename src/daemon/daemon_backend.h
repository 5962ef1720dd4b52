#pragma once
// The API's view of the daemon. Reads and forwards; what is decided is decided in the parts that it is given, which
// outlive it.

#include <map>
#include <string>

#include "agent/dispatcher.h"
#include "agent/language_planner.h"
#include "agent/roster.h"
#include "api/backend.h"
#include "daemon/daemon_state.h"
#include "daemon/model_directory.h"
#include "daemon/process_usage.h"
#include "model/residency.h"
#include "telemetry/metrics.h"

namespace skep::daemon {

class DaemonBackend final : public api::Backend {
 public:
  struct Parts {
    EventLoop& loop;
    const Config& config;
    const agent::Roster& roster;
    ModelDirectory& directory;
    model::Residency& residency;
    agent::Dispatcher& dispatcher;
    agent::LanguagePlanner& planner;
    ProcessUsage& usage;
    telemetry::Metrics& metrics;
    const std::unique_ptr<DaemonState>& state;  // there before the first call
  };
  explicit DaemonBackend(Parts parts);

  agent::TaskId submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) override;
  void cancel(agent::TaskId task) override;
  EmbedId embed(std::string model, engine::Embed input, std::string caller,
                std::function<void(EmbedResult)> done) override;
  void cancel_embed(EmbedId id) override;
  void tokenize(std::string model, engine::Tokenize input, std::function<void(Result<engine::Tokens>)> done) override;
  Result<Route> route(const agent::TaskRequest& request) override;
  [[nodiscard]] std::vector<model::ModelInfo> models() const override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> aliases() const override;
  [[nodiscard]] Result<model::ModelInfo> find_model(const std::string& name) const override;
  [[nodiscard]] std::vector<api::RunningModel> running() const override;
  void load(const std::string& model, std::optional<Duration> keep_alive, std::function<void(Status)> done) override;
  void unload(const std::string& model, std::function<void(Status)> done) override;
  void score(std::string model, engine::Score input, std::function<void(Result<engine::Scores>)> done) override;
  [[nodiscard]] std::vector<api::AgentView> agents() const override;
  [[nodiscard]] std::vector<api::TaskView> tasks() const override;
  [[nodiscard]] api::ResourceUsage resources() const override;
  [[nodiscard]] api::PerformanceReport performance() const override;
  [[nodiscard]] std::string metrics() const override;
  [[nodiscard]] bool ready() const override;
  [[nodiscard]] api::StateBackend* state() override { return parts_.state->remembers() ? parts_.state.get() : nullptr; }

 private:
  // One embed() under way: it waits for its engine, then for the engine's answer.
  struct Embedding {
    model::Residency::Waiter waiter = 0;
    model::Lease lease;
    engine::RequestId request = 0;
    std::string caller;  // whose limits it counts against
    int estimate = 0;    // tokens charged
    TimePoint began{};
  };
  void end_embedding(const Embedding& work, int used);

  void record_gauges() const;

  Parts parts_;
  TimePoint began_;
  std::map<EmbedId, Embedding> embeddings_;
  EmbedId next_embed_ = 1;
};

}  // namespace skep::daemon
