#include "model/fake_engine.h"

#include <algorithm>
#include <cassert>

namespace skep::model {

FakeEngine::FakeEngine(FakeFactory& factory, engine::LoadOptions options, engine::Loaded loaded)
    : factory_(factory), options_(std::move(options)), loaded_(std::move(loaded)) {
  factory_.engines_.emplace(options_.path, this);
}

FakeEngine::~FakeEngine() {
  factory_.engines_.erase({options_.path, this});
  if (std::exchange(occupied_, false)) factory_.occupied -= FakeFactory::total(loaded_.memory);
}

engine::RequestId FakeEngine::generate(engine::Generate request, GenerationListener& listener) {
  engine::RequestId id = next_++;
  running.emplace(id, Running{std::move(request), &listener});
  const FakeFactory::Script& script = factory_.scripts[options_.path];
  for (int token = 1; token <= script.tokens; ++token) {
    bool last = token == script.tokens;
    // The engine may be gone by then: look it up as a test would.
    factory_.loop_.after(script.token * token, [&factory = factory_, path = options_.path, self = this, id, last] {
      if (!factory.engines_.contains({path, self})) return;
      self->say(id, "word ");
      if (last) self->finish(id, {.usage = {.completion_tokens = factory.scripts[path].tokens}});
    });
  }
  return id;
}

engine::RequestId FakeEngine::embed(engine::Embed request, std::function<void(Result<engine::Embeddings>)> done) {
  engine::Embeddings answer;
  for (const std::string& input : request.inputs) answer.vectors.push_back({static_cast<float>(input.size()), 0});
  factory_.loop_.post([answer = std::move(answer), done = std::move(done)] { done(answer); });
  return next_++;
}

// One token per byte; letters are more likely than the rest.
void FakeEngine::score(engine::Score request, std::function<void(Result<engine::Scores>)> done) {
  engine::Scores scores;
  for (const char byte : request.text) {
    scores.tokens.push_back({std::string(1, byte), byte >= 'a' && byte <= 'z' ? -1.0F : -4.0F, {}});
  }
  factory_.loop_.post([scores = std::move(scores), done = std::move(done)] { done(scores); });
}

void FakeEngine::tokenize(engine::Tokenize request, std::function<void(Result<engine::Tokens>)> done) {
  engine::Tokens tokens;
  for (unsigned char byte : request.text) tokens.tokens.push_back(byte);
  factory_.loop_.post([tokens = std::move(tokens), done = std::move(done)] { done(tokens); });
}

void FakeEngine::stop(std::function<void()> gone) {
  Error error{ErrorCode::unavailable, "the engine was stopped", {}};
  // One by one: hearing of one failure may cancel others.
  while (!running.empty()) running.extract(running.begin()).mapped().listener->failed(error);
  factory_.loop_.after(factory_.scripts[options_.path].stop,
                       [&factory = factory_, path = options_.path, self = this, gone = std::move(gone)] {
                         if (!factory.engines_.contains({path, self})) return;
                         if (std::exchange(self->occupied_, false))
                           factory.occupied -= FakeFactory::total(self->loaded_.memory);
                         gone();
                       });
}

void FakeEngine::say(engine::RequestId request, const std::string& text) {
  if (auto generation = running.find(request); generation != running.end())
    generation->second.listener->piece({.text = text, .tokens = 1});
}

void FakeEngine::say(engine::RequestId request, const std::string& text, engine::Token id) {
  if (auto generation = running.find(request); generation != running.end())
    generation->second.listener->piece({.text = text, .tokens = 1, .ids = {id}});
}

void FakeEngine::finish(engine::RequestId request, engine::Finished finished) {
  auto node = running.extract(request);
  if (!node.empty()) node.mapped().listener->finished(finished);
}

void FakeEngine::die(const Error& error) {
  if (std::exchange(occupied_, false)) factory_.occupied -= FakeFactory::total(loaded_.memory);
  // One by one: hearing of one failure may cancel others.
  while (!running.empty()) running.extract(running.begin()).mapped().listener->failed(error);
  if (on_death_) std::exchange(on_death_, nullptr)(error);
}

Bytes FakeFactory::total(const std::vector<engine::MemoryUse>& memory) {
  Bytes sum;
  for (const engine::MemoryUse& use : memory) sum += use.total();
  return sum;
}

void FakeFactory::occupy(Bytes bytes) {
  occupied += bytes;
  most_occupied = std::max(most_occupied, occupied);
}

FakeEngine* FakeFactory::alive(const std::string& path) const {
  auto found = engines_.lower_bound({path, nullptr});
  return found == engines_.end() || found->first != path ? nullptr : found->second;
}

void FakeFactory::measure(const engine::LoadOptions& options, std::function<void(Result<engine::Loaded>)> done) {
  ++measured;
  const Script& script = scripts[options.path];
  loop_.post([loaded = engine::Loaded{.memory = script.memory}, error = script.measure_fails, done = std::move(done)] {
    if (error) return done(fail(*error));
    done(loaded);
  });
}

void FakeFactory::start(const engine::LoadOptions& options, std::function<void(Result<std::unique_ptr<Engine>>)> done) {
  started.push_back(options.path);
  const Script& script = scripts[options.path];
  engine::Loaded loaded{.memory = script.truth.empty() ? script.memory : script.truth,
                        .context_tokens = options.context_tokens,
                        .streamed = script.streamed};
  occupy(total(loaded.memory));
  loop_.after(script.load, [this, options, loaded, error = script.load_fails, done = std::move(done)] {
    if (error) {
      occupied -= total(loaded.memory);
      return done(fail(*error));
    }
    done(std::make_unique<FakeEngine>(*this, options, loaded));
  });
}

}  // namespace skep::model
