#include "model/http_session.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cassert>
#include <tuple>
#include <utility>

#include "base/post_failure.h"

namespace skep::model {

namespace {

constexpr Bytes kSmallAnswer = 4_MiB;
constexpr Bytes kEmbeddingsAnswer = 128_MiB;
constexpr size_t kErrorBody = 64U << 10;  // kept of an answer that is an error
constexpr int kSlots = 4;                 // where neither the configuration nor the server says how many

bool worth_retrying(int status) { return status == 429 || status == 500 || (status >= 502 && status <= 504); }

}  // namespace

HttpSession::HttpSession(AsioEventLoop& loop, const HttpEngineOptions& options, std::shared_ptr<HttpClient> client,
                         HttpServer server, const engine::LoadOptions& load, std::string name)
    : loop_(loop),
      options_(options),
      client_(std::move(client)),
      server_(server),
      model_(load.path),
      name_(std::move(name)) {
  loaded_.context_tokens = server.context_tokens > 0 ? server.context_tokens : load.context_tokens;
  loaded_.can_generate = !load.embeddings;
  loaded_.chat_template = to_string(server.dialect);
}

engine::Heartbeat HttpSession::heartbeat() const {
  engine::Heartbeat beat = beat_;
  beat.generating = static_cast<int>(in_flight_);
  beat.waiting = static_cast<int>(generations_.size() - in_flight_);
  return beat;
}
int HttpSession::slots() const {
  int wanted = options_.slots > 0 ? options_.slots : server_.slots > 0 ? server_.slots : kSlots;
  // Two connections stay for health checks, embeddings and the like.
  return std::clamp(wanted, 1, std::max(1, static_cast<int>(options_.client.most_connections) - 2));
}

engine::RequestId HttpSession::generate(engine::Generate request, GenerationListener& listener) {
  engine::RequestId id = next_++;
  Generation& added = generations_[id];
  added.request = std::move(request);
  added.listener = &listener;
  auto ask = generate_ask(server_.dialect, model_, added.request, loaded_.context_tokens);
  if (!ask) return refuse(id, ask.error());
  if (generations_.size() > options_.most_waiting + static_cast<size_t>(slots()))
    return refuse(id,
                  {ErrorCode::overloaded, fmt::format("{} requests wait for {}", options_.most_waiting, name_), {}});
  added.ask = std::move(*ask);
  collect(id);
  return id;
}

void HttpSession::cancel(engine::RequestId id) {
  if (auto embed = embeds_.extract(id); !embed.empty()) {
    std::erase(fetches_, embed.mapped());
    client_->cancel(embed.mapped());
  }
  if (!generations_.contains(id)) return;
  forget(id);
  schedule_pump();
}

engine::RequestId HttpSession::embed(const engine::Embed& request,
                                     std::function<void(Result<engine::Embeddings>)> done) {
  const engine::RequestId id = next_++;
  size_t inputs = request.inputs.size() + request.token_inputs.size();
  auto ask = embed_ask(server_.dialect, model_, request);
  if (!ask) {
    post_failure(loop_, std::move(done), ask.error());
    return id;
  }
  std::function<void(Result<engine::Embeddings>)> heard = [this, id, done = std::move(done)](auto answer) {
    embeds_.erase(id);
    done(std::move(answer));
  };
  embeds_[id] = fetch(
      std::move(*ask), kEmbeddingsAnswer, std::move(heard),
      [dialect = server_.dialect, inputs](std::string_view body) { return parse_embeddings(dialect, body, inputs); });
  return id;
}

void HttpSession::tokenize(const engine::Tokenize& request, std::function<void(Result<engine::Tokens>)> done) {
  if (server_.dialect != HttpDialect::llama_server)
    return post_failure(loop_, std::move(done), {ErrorCode::unsupported, name_ + " has no way to ask for tokens", {}});
  if (request.messages.empty()) return tokenize_text(request.text, request.add_special, std::move(done));
  boost::json::array messages;
  for (const engine::ChatMessage& message : request.messages)
    messages.push_back(boost::json::object{{"role", message.role}, {"content", message.content}});
  HttpAsk ask{"/apply-template", serialize(boost::json::object{{"messages", std::move(messages)}})};
  auto rendered = [weak = weak_from_this(), done = std::move(done)](Result<std::string> prompt) mutable {
    auto self = weak.lock();
    if (!self) return;
    if (!prompt) return done(fail(prompt.error()));
    self->tokenize_text(*prompt, true, std::move(done));
  };
  fetch(std::move(ask), kSmallAnswer, std::function<void(Result<std::string>)>(std::move(rendered)), parse_template);
}

void HttpSession::on_death(std::function<void(const Error&)> heard) {
  died_ = std::move(heard);
  watch_health();
}

void HttpSession::stop(std::function<void()> gone) {
  fail_all({ErrorCode::unavailable, "the engine was stopped", {}});
  close();
  loop_.post(std::move(gone));
}

// Nothing is heard any more, everything on the wire is cut.
void HttpSession::close() {
  closed_ = true;
  loop_.cancel(health_timer_);
  loop_.cancel(window_timer_);
  if (health_check_ != 0) client_->cancel(health_check_);
  for (HttpClient::Id fetched : std::exchange(fetches_, {})) client_->cancel(fetched);
  while (!generations_.empty()) forget(generations_.begin()->first);
  died_ = nullptr;
}

// --- Collecting: with a window, requests wait for company; what shares a beginning goes together.

void HttpSession::collect(engine::RequestId id) {
  if (options_.window == Duration::zero()) {
    ready_.push_back(id);
    return schedule_pump();
  }
  collected_.push_back(id);
  if (collected_.size() >= options_.window_size) return release_window();
  if (collected_.size() == 1) {
    window_timer_ = loop_.after(options_.window, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->release_window();
    });
  }
}

void HttpSession::release_window() {
  loop_.cancel(window_timer_);
  std::erase_if(collected_, [&](engine::RequestId id) { return !generations_.contains(id); });
  auto order = [&](engine::RequestId id) {
    const engine::Generate& request = generations_.at(id).request;
    std::string_view beginning = request.messages.empty() ? request.prompt : request.messages.front().content;
    return std::tuple(request.priority, std::string_view(request.share_scope), beginning);
  };
  std::ranges::stable_sort(collected_, {}, order);
  ready_.insert(ready_.end(), collected_.begin(), collected_.end());
  collected_.clear();
  schedule_pump();
}

void HttpSession::schedule_pump() {
  loop_.post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->pump();
  });
}

void HttpSession::pump() {
  while (!closed_ && !ready_.empty() && in_flight_ < static_cast<size_t>(slots())) {
    engine::RequestId id = ready_.front();
    ready_.pop_front();
    if (!generations_.contains(id)) continue;  // cancelled meanwhile
    ++in_flight_;
    send(id);
  }
}

// --- One try

void HttpSession::send(engine::RequestId id) {
  Generation& generation = generations_.at(id);
  ++generation.tries;
  generation.stream.emplace(server_.dialect, generation.request.messages.empty());
  generation.error_body.clear();
  generation.sent = loop_.now();
  auto weak = weak_from_this();
  HttpClient::Listener listener{.head =
                                    [weak, id](const HttpHead& head) {
                                      if (auto self = weak.lock()) self->generations_.at(id).head = head;
                                    },
                                .data =
                                    [weak, id](std::string_view data) {
                                      if (auto self = weak.lock()) self->heard(id, data);
                                    },
                                .end =
                                    [weak, id](const Status& status) {
                                      if (auto self = weak.lock()) self->ended(id, status);
                                    }};
  generation.on_wire = client_->send({"POST", generation.ask.target, generation.ask.body}, std::move(listener));
}

void HttpSession::heard(engine::RequestId id, std::string_view data) {
  Generation& generation = generations_.at(id);
  if (generation.head.status != 200) {
    generation.error_body.append(data.substr(0, kErrorBody - std::min(kErrorBody, generation.error_body.size())));
    return;
  }
  auto pieces = generation.stream->feed(data);
  if (!pieces) {
    client_->cancel(std::exchange(generation.on_wire, 0));
    return try_again(id, pieces.error(), std::nullopt);
  }
  auto self = shared_from_this();  // a listener may destroy the engine
  for (engine::Piece& piece : *pieces) {
    auto still = generations_.find(id);
    if (still == generations_.end()) return;  // it cancelled
    still->second.said_something = true;
    beat_.generated_tokens += piece.tokens;
    still->second.listener->piece(std::move(piece));
  }
  auto still = generations_.find(id);
  if (still == generations_.end() || !still->second.stream->finished()) return;
  finish(id, *still->second.stream->finished());
}

void HttpSession::ended(engine::RequestId id, const Status& status) {
  Generation& generation = generations_.at(id);
  generation.on_wire = 0;
  if (!status) return try_again(id, status.error(), std::nullopt);
  if (generation.head.status != 200) {
    Error error = http_error(generation.head.status, generation.error_body, name_, options_.api_key_env);
    if (!worth_retrying(generation.head.status)) return fail_generation(id, error);
    return try_again(id, error, generation.head.retry_after);
  }
  auto finished = generation.stream->end();
  if (!finished) return try_again(id, finished.error(), std::nullopt);
  finish(id, *finished);
}

void HttpSession::try_again(engine::RequestId id, const Error& error, std::optional<Duration> retry_after) {
  Generation& generation = generations_.at(id);
  Duration pause = options_.first_backoff * (int64_t{1} << std::min(generation.tries - 1, 16));
  pause = std::min(pause, options_.longest_backoff);
  bool too_long = retry_after && *retry_after > options_.longest_backoff;
  if (generation.said_something || generation.tries > options_.retries || too_long) return fail_generation(id, error);
  // Keeps its slot: a server in trouble is not given more to do meanwhile.
  generation.retry =
      loop_.after(std::max(pause, retry_after.value_or(Duration::zero())), [weak = weak_from_this(), id] {
        auto self = weak.lock();
        if (self && self->generations_.contains(id)) self->send(id);
      });
}

void HttpSession::finish(engine::RequestId id, engine::Finished finished) {
  Generation& generation = generations_.at(id);
  if (finished.decode == Duration::zero()) finished.decode = loop_.now() - generation.sent - finished.prefill;
  finished.seed = generation.request.sampling.seed;
  beat_.prompt_tokens += finished.usage.prompt_tokens - finished.usage.cached_tokens;
  GenerationListener* listener = generation.listener;
  forget(id);
  schedule_pump();
  listener->finished(finished);
}

void HttpSession::fail_generation(engine::RequestId id, const Error& error) {
  GenerationListener* listener = generations_.at(id).listener;
  forget(id);
  schedule_pump();
  listener->failed(error);
}

// Also cuts what is still on the wire: the answer is over for us, though the server may go on.
void HttpSession::forget(engine::RequestId id) {
  auto node = generations_.extract(id);
  assert(!node.empty());
  Generation& generation = node.mapped();
  loop_.cancel(generation.retry);
  if (generation.on_wire != 0 && !generation.stream->finished()) client_->cancel(generation.on_wire);
  // A finished one reads to the end of its answer, so that the connection can be used again; it is heard no more.
  if (generation.on_wire != 0 && generation.stream->finished()) client_->drain(generation.on_wire);
  if (generation.tries > 0) --in_flight_;
}

engine::RequestId HttpSession::refuse(engine::RequestId id, Error error) {
  loop_.post([weak = weak_from_this(), id, error = std::move(error)] {
    auto self = weak.lock();
    if (self && self->generations_.contains(id)) self->fail_generation(id, error);
  });
  return id;
}

void HttpSession::fail_all(const Error& error) {
  auto self = shared_from_this();
  while (!generations_.empty()) fail_generation(generations_.begin()->first, error);
}

// --- Questions with one small answer

template <typename T, typename Parse>
HttpClient::Id HttpSession::fetch(HttpAsk ask, Bytes limit, std::function<void(Result<T>)> done, Parse parse) {
  auto id = std::make_shared<HttpClient::Id>(0);
  auto heard = [weak = weak_from_this(), id, done = std::move(done), parse](Result<HttpClient::Answer> answer) {
    auto self = weak.lock();
    if (!self) return;
    std::erase(self->fetches_, *id);
    if (!answer) return done(fail(answer.error()));
    if (answer->head.status != 200)
      return done(fail(http_error(answer->head.status, answer->body, self->name_, self->options_.api_key_env)));
    done(parse(answer->body));
  };
  *id = client_->fetch({"POST", std::move(ask.target), std::move(ask.body)}, limit, std::move(heard));
  fetches_.push_back(*id);
  return *id;
}

void HttpSession::tokenize_text(const std::string& text, bool add_special,
                                std::function<void(Result<engine::Tokens>)> done) {
  HttpAsk ask{"/tokenize",
              serialize(boost::json::object{{"content", text}, {"add_special", add_special}, {"parse_special", true}})};
  fetch(std::move(ask), kSmallAnswer, std::move(done), parse_tokens);
}

// --- Health

void HttpSession::watch_health() {
  health_timer_ = loop_.after(options_.health_interval, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->check_health();
  });
}

void HttpSession::check_health() {
  const char* target = server_.dialect == HttpDialect::ollama         ? "/api/version"
                       : server_.dialect == HttpDialect::llama_server ? "/health"
                                                                      : "/v1/models";
  health_check_ = client_->fetch({"GET", target, {}}, kSmallAnswer, [weak = weak_from_this()](auto answer) {
    auto self = weak.lock();
    if (!self || self->closed_) return;
    // Any answer but a server's failure shows that it lives; a 503 of llama-server says that it still loads.
    bool well = answer && answer->head.status < 500;
    self->health_known(well, answer ? fmt::format("answered {}", answer->head.status) : answer.error().message);
  });
  // The client's own limits are those of generations, so a check has one of its own.
  health_timer_ = loop_.after(options_.health_timeout, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self || self->health_check_ == 0) return;
    self->client_->cancel(self->health_check_);
    self->health_known(false, fmt::format("no answer within {:.1f} s", seconds(self->options_.health_timeout)));
  });
}

void HttpSession::health_known(bool well, const std::string& how) {
  health_check_ = 0;
  loop_.cancel(health_timer_);
  failures_ = well ? 0 : failures_ + 1;
  if (failures_ < options_.health_failures) return watch_health();
  Error error{
      ErrorCode::unavailable, fmt::format("{} failed {} health checks in a row; last: {}", name_, failures_, how), {}};
  auto self = shared_from_this();
  auto died = std::exchange(died_, nullptr);
  fail_all(error);
  if (died) died(error);
}

}  // namespace skep::model
