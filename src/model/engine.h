#pragma once
// An engine as the daemon sees it: something with one model loaded that generates, embeds and tokenizes. WorkerEngine
// is a child process, HttpEngine a server elsewhere, NullEngine (tests, overhead bench) answers at once. Lives on the
// event loop; calls return at once and answers come through callbacks on the loop, never from inside the call.

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/messages.h"
#include "engine/score.h"

namespace skep::model {

// Receives one generation. After finished() or failed() nothing more comes.
class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  virtual void piece(engine::Piece piece) = 0;
  virtual void finished(const engine::Finished& finished) = 0;
  virtual void failed(const Error& error) = 0;  // unavailable: the engine died, a retry elsewhere may do
};

enum class EngineState { starting, ready, failed };

class Engine {
 public:
  virtual ~Engine() = default;  // cancels everything; listeners hear nothing more

  [[nodiscard]] virtual const engine::Loaded& loaded() const = 0;
  [[nodiscard]] virtual engine::Heartbeat heartbeat() const = 0;
  [[nodiscard]] virtual int slots() const = 0;              // generations at once that make sense
  [[nodiscard]] virtual Bytes resident_memory() const = 0;  // measured PSS of the worker; 0 for remote ones
  [[nodiscard]] virtual int process_id() const { return 0; }

  // The listener must live until finished(), failed() or cancel().
  virtual engine::RequestId generate(engine::Generate request, GenerationListener& listener) = 0;
  // A generation or an embed(). Idempotent; its listener hears nothing more, its `done` isn't called.
  virtual void cancel(engine::RequestId request) = 0;

  virtual engine::RequestId embed(engine::Embed request, std::function<void(Result<engine::Embeddings>)> done) = 0;
  // unsupported: not with this engine (one behind HTTP).
  virtual void score(engine::Score request, std::function<void(Result<engine::Scores>)> done) = 0;
  virtual void tokenize(engine::Tokenize request, std::function<void(Result<engine::Tokens>)> done) = 0;

  // Called once, on the loop, when the engine died on its own (after its listeners were failed, and after its process
  // was gone). `heard` must not destroy the engine from inside the call.
  virtual void on_death(std::function<void(const Error&)> heard) = 0;

  // Ends the engine in order; what still runs is failed. `gone` comes on the loop when its memory is free again.
  // on_death isn't called. Called once; nothing else is called afterwards but the destructor.
  virtual void stop(std::function<void()> gone) = 0;
};

// What starts engines; the seam that tests and the simulation replace.
class EngineFactory {
 public:
  virtual ~EngineFactory() = default;
  // Known before loading: bytes that `options` will take, by libllama's simulation. Cached by options.
  virtual void measure(const engine::LoadOptions& options, std::function<void(Result<engine::Loaded>)> done) = 0;
  virtual void start(const engine::LoadOptions& options, std::function<void(Result<std::unique_ptr<Engine>>)> done) = 0;
  // Elsewhere: takes none of this machine's memory, so nothing makes room for it and no cap on loaded models counts it.
  [[nodiscard]] virtual bool remote() const { return false; }
  // Host bytes that an engine takes beside what measure() says: its process, libraries, vocabulary. 0 for remote ones.
  [[nodiscard]] virtual Bytes overhead(const engine::LoadOptions& /*options*/) const { return {}; }
};

}  // namespace skep::model
