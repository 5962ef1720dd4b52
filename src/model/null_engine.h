#pragma once
// An engine that answers every generation with the same text after configured delays, and takes no memory: for
// measuring everything but the engine, and for tests that need answers and not models. On any EventLoop.

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "model/engine.h"

namespace skep::model {

struct NullEngineOptions {
  int tokens = 16;              // per answer, but not more than asked for
  std::string piece = "word ";  // the text of each
  Duration first{};             // until the first piece
  Duration each{};              // between two pieces; 0: all of them at once
  int slots = 64;
  int embedding_size = 8;
};

class NullFactory final : public EngineFactory {
 public:
  NullFactory(EventLoop& loop, NullEngineOptions options) : loop_(loop), options_(std::move(options)) {}

  void measure(const engine::LoadOptions& options, std::function<void(Result<engine::Loaded>)> done) override;
  void start(const engine::LoadOptions& options, std::function<void(Result<std::unique_ptr<Engine>>)> done) override;

 private:
  EventLoop& loop_;
  NullEngineOptions options_;
};

}  // namespace skep::model
