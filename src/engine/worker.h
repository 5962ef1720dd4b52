#pragma once
// The worker's main loop: loads what it is told to, then answers requests until the connection ends. What it loads is
// given, so that tests run it on the toy.

#include <functional>
#include <memory>

#include "base/result.h"
#include "engine/forward.h"
#include "engine/messages.h"
#include "engine/vocabulary.h"

namespace skep::engine {

// A model that is ready. Members are destroyed in reverse order.
struct ReadyModel {
  Loaded loaded;
  std::string state_format;     // of what Forward::save() gives: cells of another are nothing to it
  std::shared_ptr<void> owner;  // of what the two below point into
  std::unique_ptr<Vocabulary> vocabulary;
  std::unique_ptr<Forward> forward;
  std::shared_ptr<void> watcher;  // of what the pass has mapped: goes before it
};

// Called once on the main thread. `progress` may be called with 0..1 and returns false to give up.
using ModelLoader =
    std::function<Result<ReadyModel>(const LoadOptions& options, const std::function<bool(float)>& progress)>;

// Speaks doc/wire.md on the stream socket `fd` (owned) until the other side is done. The process's exit status: 0, or 1
// after a Failed{0}.
int run_worker(int fd, const ModelLoader& load);

}  // namespace skep::engine
