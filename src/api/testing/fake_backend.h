#pragma once
// A Backend for tests: canned models and agents, and tasks that a script answers. Everything on the loop.

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "api/backend.h"
#include "base/event_loop.h"

namespace skep::api::testing {

class FakeBackend final : public Backend {
 public:
  struct OpenTask {
    agent::TaskRequest request;
    std::shared_ptr<agent::TaskListener> listener;
  };

  explicit FakeBackend(EventLoop& loop);

  // What to do with a task, called in the loop's next step. The default is answer(). A script that leaves it open can
  // reach its listener through `open` later.
  std::function<void(agent::TaskId, OpenTask&)> script;

  // An answer of the right shape for any request: tool calls and JSON where they are demanded, with values made from
  // their schemas; else "You said: …" word by word.
  void answer(agent::TaskId id, OpenTask& task);
  void start(agent::TaskId id);
  void say(agent::TaskId id, const std::string& text);
  void finish(agent::TaskId id, language::Message message, std::string reason = "stop");
  void fail(agent::TaskId id, Error error, std::optional<Duration> retry_after = std::nullopt);

  std::map<agent::TaskId, OpenTask> open;
  std::vector<agent::TaskId> cancelled;
  std::vector<std::string> loaded, unloaded;
  bool accepting = true;
  bool embeds_never = false;  // embed() is not answered
  std::vector<EmbedId> cancelled_embeds;

  agent::TaskId submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) override;
  void cancel(agent::TaskId task) override;
  EmbedId embed(std::string model, engine::Embed input, std::string caller,
                std::function<void(EmbedResult)> done) override;
  void cancel_embed(EmbedId id) override { cancelled_embeds.push_back(id); }
  void tokenize(std::string model, engine::Tokenize input, std::function<void(Result<engine::Tokens>)> done) override;
  Result<Route> route(const agent::TaskRequest& request) override;
  [[nodiscard]] std::vector<model::ModelInfo> models() const override { return models_; }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> aliases() const override;
  [[nodiscard]] Result<model::ModelInfo> find_model(const std::string& name) const override;
  [[nodiscard]] std::vector<RunningModel> running() const override;
  void load(const std::string& model, std::optional<Duration> keep_alive, std::function<void(Status)> done) override;
  void unload(const std::string& model, std::function<void(Status)> done) override;
  [[nodiscard]] std::vector<AgentView> agents() const override;
  [[nodiscard]] std::vector<TaskView> tasks() const override;
  [[nodiscard]] ResourceUsage resources() const override;
  [[nodiscard]] PerformanceReport performance() const override;
  [[nodiscard]] std::string metrics() const override { return "# TYPE skep_up gauge\nskep_up 1\n"; }
  [[nodiscard]] bool ready() const override { return accepting; }

 private:
  [[nodiscard]] agent::RouteDecision decide(const agent::TaskRequest& request) const;

  EventLoop& loop_;
  std::vector<model::ModelInfo> models_;
  agent::TaskId next_ = 1;
  EmbedId next_embed_ = 1;
};

}  // namespace skep::api::testing
