#include "model/http_engine.h"

#include <boost/json.hpp>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "model/http_session.h"
#include "model/json_fields.h"

namespace skep::model {

namespace {

constexpr Bytes kProbeAnswer = 1_MiB;

class HttpEngine final : public Engine {
 public:
  explicit HttpEngine(std::shared_ptr<HttpSession> session) : session_(std::move(session)) {}
  ~HttpEngine() override { session_->close(); }
  [[nodiscard]] const engine::Loaded& loaded() const override { return session_->loaded(); }
  [[nodiscard]] engine::Heartbeat heartbeat() const override { return session_->heartbeat(); }
  [[nodiscard]] int slots() const override { return session_->slots(); }
  [[nodiscard]] Bytes resident_memory() const override { return {}; }
  engine::RequestId generate(engine::Generate request, GenerationListener& listener) override {
    return session_->generate(std::move(request), listener);
  }
  void cancel(engine::RequestId request) override { session_->cancel(request); }
  engine::RequestId embed(engine::Embed request, std::function<void(Result<engine::Embeddings>)> done) override {
    return session_->embed(request, std::move(done));
  }
  void score(engine::Score /*request*/, std::function<void(Result<engine::Scores>)> done) override {
    session_->loop().post([done = std::move(done)] {
      done(fail(ErrorCode::unsupported, "a server behind HTTP does not judge texts", "use a local model"));
    });
  }
  void tokenize(engine::Tokenize request, std::function<void(Result<engine::Tokens>)> done) override {
    session_->tokenize(request, std::move(done));
  }
  void on_death(std::function<void(const Error&)> heard) override { session_->on_death(std::move(heard)); }
  void stop(std::function<void()> gone) override { session_->stop(std::move(gone)); }

 private:
  std::shared_ptr<HttpSession> session_;
};

// One question that tells whether a server speaks a dialect; asked in this order, because llama-server also answers
// what is asked of the other two.
struct Probe {
  HttpDialect dialect;
  const char* target;
};
constexpr Probe kProbes[] = {
    {HttpDialect::llama_server, "/props"}, {HttpDialect::ollama, "/api/version"}, {HttpDialect::openai, "/v1/models"}};

std::optional<HttpServer> recognize(HttpDialect dialect, const HttpClient::Answer& answer) {
  using json_fields::count_of;
  using json_fields::field;
  if (answer.head.status != 200) return std::nullopt;
  auto body = parse_json(answer.body, "answer");
  if (!body) return std::nullopt;
  HttpServer server{.dialect = dialect};
  switch (dialect) {
    case HttpDialect::llama_server:
      if (field(&*body, "default_generation_settings") == nullptr) return std::nullopt;
      server.slots = count_of(field(&*body, "total_slots"));
      server.context_tokens = count_of(field(field(&*body, "default_generation_settings"), "n_ctx"));
      return server;
    case HttpDialect::ollama:
      return field(&*body, "version") != nullptr ? std::optional(server) : std::nullopt;
    case HttpDialect::openai:
      return field(&*body, "data") != nullptr ? std::optional(server) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

struct HttpFactory::Impl : std::enable_shared_from_this<Impl> {
  using Started = std::function<void(Result<std::unique_ptr<Engine>>)>;

  Impl(AsioEventLoop& event_loop, HttpEngineOptions engine_options)
      : loop(event_loop), options(std::move(engine_options)) {}

  // Asks kProbes[at] and, where that isn't answered as expected, the next. `last` is what the one before came to.
  void probe(size_t at, engine::LoadOptions load, Started done, std::optional<Error> last = std::nullopt) {
    while (at < std::size(kProbes) && options.dialect && kProbes[at].dialect != *options.dialect) ++at;
    if (at == std::size(kProbes)) {
      return done(
          fail(last.value_or(Error{ErrorCode::unavailable, name + " speaks neither the OpenAI nor the Ollama API",
                                   "name the dialect in the configuration"})));
    }
    auto id = std::make_shared<HttpClient::Id>(0);
    auto timer = std::make_shared<TimerId>(TimerId::none);
    auto heard = [weak = weak_from_this(), at, load, done, timer](Result<HttpClient::Answer> answer) {
      auto self = weak.lock();
      if (!self) return;
      self->loop.cancel(*timer);
      if (!answer) return done(fail(answer.error()));  // not there at all: another question won't help
      if (auto server = recognize(kProbes[at].dialect, *answer)) return self->begin(*server, load, done);
      int status = answer->head.status;
      // It is there but not ready (llama-server while it loads): what else it answers now tells nothing.
      if (status >= 502 && status <= 504)
        return done(fail(http_error(status, answer->body, self->name, self->options.api_key_env)));
      // It is there and says no; 404 and the like only mean that it is of another kind.
      bool refused = status == 401 || status == 403 || status == 500;
      std::optional<Error> error;
      if (refused) error = http_error(status, answer->body, self->name, self->options.api_key_env);
      self->probe(at + 1, load, done, std::move(error));
    };
    *id = client->fetch({"GET", kProbes[at].target, {}}, kProbeAnswer, std::move(heard));
    // The connection has to be made first.
    Duration limit = options.client.connect + options.health_timeout;
    *timer = loop.after(limit, [weak = weak_from_this(), id, done, limit] {
      auto self = weak.lock();
      if (!self) return;
      self->client->cancel(*id);
      done(fail(ErrorCode::unavailable, fmt::format("{} did not answer within {:.1f} s", self->name, seconds(limit))));
    });
  }

  void begin(const HttpServer& server, const engine::LoadOptions& load, const Started& done) {
    done(std::make_unique<HttpEngine>(std::make_shared<HttpSession>(loop, options, client, server, load, name)));
  }

  AsioEventLoop& loop;
  const HttpEngineOptions options;
  std::string name;
  std::shared_ptr<HttpClient> client;  // shared with the engines, which may outlive the factory
};

HttpFactory::HttpFactory(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpFactory::~HttpFactory() = default;

Result<std::unique_ptr<HttpFactory>> HttpFactory::create(AsioEventLoop& loop, HttpEngineOptions options) {
  SKEP_TRY(HttpUrl url, parse_url(options.url));
  if (!options.api_key_env.empty()) {
    const char* key = std::getenv(options.api_key_env.c_str());
    if (key == nullptr || *key == '\0') {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{}: the key is to come from ${}, which is not set", options.url, options.api_key_env));
    }
    options.client.headers.emplace_back("Authorization", std::string("Bearer ") + key);
  }
  auto impl = std::make_shared<Impl>(loop, std::move(options));
  impl->name = url.text();
  SKEP_TRY(impl->client, HttpClient::create(loop, std::move(url), impl->options.client));
  return std::unique_ptr<HttpFactory>(new HttpFactory(std::move(impl)));
}

void HttpFactory::measure(const engine::LoadOptions& options, std::function<void(Result<engine::Loaded>)> done) {
  engine::Loaded nothing_here{.context_tokens = options.context_tokens, .can_generate = !options.embeddings};
  impl_->loop.post([loaded = std::move(nothing_here), done = std::move(done)] { done(loaded); });
}

void HttpFactory::start(const engine::LoadOptions& options, std::function<void(Result<std::unique_ptr<Engine>>)> done) {
  impl_->probe(0, options, std::move(done));
}

}  // namespace skep::model
