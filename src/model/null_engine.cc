#include "model/null_engine.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

namespace skep::model {

namespace {

engine::Loaded loaded_as(const engine::LoadOptions& load, const NullEngineOptions& options) {
  return {.context_tokens = load.context_tokens,
          .vocabulary = 256,
          .embedding_size = options.embedding_size,
          .can_generate = !load.embeddings,
          .chat_template = "none"};
}

// Words are what stands between spaces: close enough to tokens for an engine that has none.
int words_in(const std::string& text) { return 1 + static_cast<int>(std::ranges::count(text, ' ')); }

struct Null : std::enable_shared_from_this<Null> {
  struct Generation {
    GenerationListener* listener;
    int prompt_tokens = 0, tokens = 0, said = 0;
    uint32_t seed = 0;
    TimePoint began{};
  };

  Null(EventLoop& event_loop, const NullEngineOptions& null_options, engine::Loaded as)
      : loop(event_loop), options(null_options), loaded(std::move(as)) {}

  engine::RequestId generate(const engine::Generate& request, GenerationListener& listener) {
    engine::RequestId id = next++;
    Generation& added = generations[id];
    added.listener = &listener;
    added.prompt_tokens = words_in(request.prompt);
    for (const engine::ChatMessage& message : request.messages) added.prompt_tokens += words_in(message.content);
    added.tokens = std::max(0, std::min(options.tokens, request.max_tokens));
    added.seed = request.sampling.seed;
    added.began = loop.now();
    beat.prompt_tokens += added.prompt_tokens;
    step_after(id, options.first);
    return id;
  }

  void step_after(engine::RequestId id, Duration delay) {
    auto step = [weak = weak_from_this(), id] {
      if (auto self = weak.lock()) self->step(id);
    };
    if (delay == Duration::zero())
      loop.post(std::move(step));
    else
      loop.after(delay, std::move(step));
  }

  void step(engine::RequestId id) {
    for (;;) {
      auto entry = generations.find(id);
      if (entry == generations.end()) return;  // cancelled
      Generation& generation = entry->second;
      if (generation.said == generation.tokens) return finish(id);
      ++generation.said;
      ++beat.generated_tokens;
      generation.listener->piece({.text = options.piece, .tokens = 1});
      if (options.each != Duration::zero()) return step_after(id, options.each);
    }
  }

  void finish(engine::RequestId id) {
    Generation over = generations.extract(id).mapped();
    engine::Finished how{.usage = {.prompt_tokens = over.prompt_tokens, .completion_tokens = over.said},
                         .decode = loop.now() - over.began,
                         .seed = over.seed};
    over.listener->finished(how);
  }

  EventLoop& loop;
  const NullEngineOptions options;
  const engine::Loaded loaded;
  engine::Heartbeat beat;
  std::map<engine::RequestId, Generation> generations;
  std::set<engine::RequestId> embeddings;  // not answered yet
  engine::RequestId next = 1;
};

class NullEngine final : public Engine {
 public:
  explicit NullEngine(std::shared_ptr<Null> null) : null_(std::move(null)) {}
  ~NullEngine() override { null_->generations.clear(); }
  [[nodiscard]] const engine::Loaded& loaded() const override { return null_->loaded; }
  [[nodiscard]] engine::Heartbeat heartbeat() const override {
    engine::Heartbeat beat = null_->beat;
    beat.generating = static_cast<int>(null_->generations.size());
    return beat;
  }
  [[nodiscard]] int slots() const override { return null_->options.slots; }
  [[nodiscard]] Bytes resident_memory() const override { return {}; }
  engine::RequestId generate(engine::Generate request, GenerationListener& listener) override {
    return null_->generate(request, listener);
  }
  void cancel(engine::RequestId request) override {
    null_->generations.erase(request);
    null_->embeddings.erase(request);
  }

  // The length of a text, as a direction: the same for the same text, and of unit length.
  engine::RequestId embed(engine::Embed request, std::function<void(Result<engine::Embeddings>)> done) override {
    engine::Embeddings answer;
    auto add = [&](size_t length) {
      std::vector<float> vector(static_cast<size_t>(std::max(2, null_->options.embedding_size)));
      double angle = static_cast<double>(length);
      vector[0] = static_cast<float>(std::cos(angle));
      vector[1] = static_cast<float>(std::sin(angle));
      answer.vectors.push_back(std::move(vector));
      answer.prompt_tokens += static_cast<int>(length);
    };
    for (const std::string& input : request.inputs) add(input.size());
    for (const auto& tokens : request.token_inputs) add(tokens.size());
    engine::RequestId id = null_->next++;
    null_->embeddings.insert(id);
    null_->loop.post([weak = std::weak_ptr(null_), id, answer = std::move(answer), done = std::move(done)] {
      if (auto null = weak.lock(); null && null->embeddings.erase(id) > 0) done(answer);
    });
    return id;
  }

  // One token per byte, each as likely as any other.
  void score(engine::Score request, std::function<void(Result<engine::Scores>)> done) override {
    engine::Scores answer;
    for (const char byte : request.text) answer.tokens.push_back({std::string(1, byte), -std::log(256.0F), {}});
    null_->loop.post([answer = std::move(answer), done = std::move(done)] { done(answer); });
  }

  // One token per byte.
  void tokenize(engine::Tokenize request, std::function<void(Result<engine::Tokens>)> done) override {
    std::string text = request.text;
    for (const engine::ChatMessage& message : request.messages) text += message.content;
    engine::Tokens answer;
    for (unsigned char byte : text) answer.tokens.push_back(byte);
    null_->loop.post([answer = std::move(answer), done = std::move(done)] { done(answer); });
  }

  void on_death(std::function<void(const Error&)> /*heard*/) override {}  // it doesn't

  void stop(std::function<void()> gone) override {
    Error error{ErrorCode::unavailable, "the engine was stopped", {}};
    auto null = null_;
    while (!null->generations.empty())
      null->generations.extract(null->generations.begin()).mapped().listener->failed(error);
    null->loop.post(std::move(gone));
  }

 private:
  std::shared_ptr<Null> null_;
};

}  // namespace

void NullFactory::measure(const engine::LoadOptions& options, std::function<void(Result<engine::Loaded>)> done) {
  loop_.post([loaded = loaded_as(options, options_), done = std::move(done)] { done(loaded); });
}

void NullFactory::start(const engine::LoadOptions& options, std::function<void(Result<std::unique_ptr<Engine>>)> done) {
  loop_.post([null = std::make_shared<Null>(loop_, options_, loaded_as(options, options_)), done = std::move(done)] {
    done(std::make_unique<NullEngine>(null));
  });
}

}  // namespace skep::model
