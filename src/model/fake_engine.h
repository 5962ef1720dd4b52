#pragma once
// Engines that a test scripts: what they need, how long loading takes, when they answer and when they die. In simulated
// time on a SimulatedEventLoop (or real time on the real one).

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "model/engine.h"

namespace skep::model {

class FakeFactory;

class FakeEngine final : public Engine {
 public:
  FakeEngine(FakeFactory& factory, engine::LoadOptions options, engine::Loaded loaded);
  ~FakeEngine() override;

  [[nodiscard]] const engine::Loaded& loaded() const override { return loaded_; }
  [[nodiscard]] engine::Heartbeat heartbeat() const override {
    return {.generating = static_cast<int>(running.size())};
  }
  [[nodiscard]] int slots() const override { return options_.sequences; }
  [[nodiscard]] Bytes resident_memory() const override { return resident; }
  [[nodiscard]] int process_id() const override { return 1000; }
  engine::RequestId generate(engine::Generate request, GenerationListener& listener) override;
  void cancel(engine::RequestId request) override { running.erase(request); }
  engine::RequestId embed(engine::Embed request, std::function<void(Result<engine::Embeddings>)> done) override;
  void score(engine::Score request, std::function<void(Result<engine::Scores>)> done) override;
  void tokenize(engine::Tokenize request, std::function<void(Result<engine::Tokens>)> done) override;
  void on_death(std::function<void(const Error&)> heard) override { on_death_ = std::move(heard); }
  void stop(std::function<void()> gone) override;

  // What the test does to it.
  void say(engine::RequestId request, const std::string& text);                    // one piece of one token
  void say(engine::RequestId request, const std::string& text, engine::Token id);  // … that is told
  void finish(engine::RequestId request, engine::Finished finished = {});
  void die(const Error& error = {ErrorCode::unavailable, "killed by signal 9 (SIGKILL)", {}});

  struct Running {
    engine::Generate request;
    GenerationListener* listener;
  };
  std::map<engine::RequestId, Running> running;
  Bytes resident;  // what measuring its process says

 private:
  FakeFactory& factory_;
  engine::LoadOptions options_;
  engine::Loaded loaded_;
  std::function<void(const Error&)> on_death_;
  engine::RequestId next_ = 1;
  bool occupied_ = true;  // its process is there
};

class FakeFactory final : public EngineFactory {
 public:
  explicit FakeFactory(EventLoop& loop) : loop_(loop) {}

  // By LoadOptions::path.
  struct Script {
    std::vector<engine::MemoryUse> memory;  // that measure() says
    std::vector<engine::MemoryUse> truth;   // that loading then really takes; empty: the same
    engine::StreamedWeights streamed;       // that a load reports
    Duration load = std::chrono::seconds(1);
    Duration stop = std::chrono::milliseconds(100);
    std::optional<Error> measure_fails, load_fails;
    // Answers by itself, one token each `token` time, `tokens` in all; 0: the test does it.
    int tokens = 0;
    Duration token = std::chrono::milliseconds(10);
  };
  std::map<std::string, Script> scripts;
  bool is_remote = false;
  Bytes process_overhead;

  void measure(const engine::LoadOptions& options, std::function<void(Result<engine::Loaded>)> done) override;
  void start(const engine::LoadOptions& options, std::function<void(Result<std::unique_ptr<Engine>>)> done) override;
  [[nodiscard]] bool remote() const override { return is_remote; }
  [[nodiscard]] Bytes overhead(const engine::LoadOptions& /*options*/) const override { return process_overhead; }

  // What the test looks at.
  [[nodiscard]] FakeEngine* alive(const std::string& path) const;  // null: none
  std::vector<std::string> started;                                // paths, in order
  int measured = 0;
  Bytes occupied;  // by processes now, from their start until they are gone
  Bytes most_occupied;

 private:
  friend class FakeEngine;
  void occupy(Bytes bytes);
  static Bytes total(const std::vector<engine::MemoryUse>& memory);

  EventLoop& loop_;
  std::set<std::pair<std::string, FakeEngine*>> engines_;
};

}  // namespace skep::model
