#pragma once
// One model on one server: the state behind an HTTP engine (http_engine.h). Requests are collected, wait for a slot,
// are tried and tried again; the server's health is watched. Shared, because whoever hears of an answer may destroy the
// engine. On the event loop.
//
//   generate() ─► collected ──window──► ready ──slot──► on the wire ─► finished() or failed()
//                                                        ▲    │ failed, nothing passed on yet
//                                                        └────┘ after a pause, the slot kept

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/answer_stream.h"
#include "model/http_client.h"
#include "model/http_dialect.h"
#include "model/http_engine.h"

namespace skep::model {

// What was found out about a server when an engine started.
struct HttpServer {
  HttpDialect dialect = HttpDialect::openai;
  int slots = 0;           // 0: not said
  int context_tokens = 0;  // 0: not said
};

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(AsioEventLoop& loop, const HttpEngineOptions& options, std::shared_ptr<HttpClient> client,
              HttpServer server, const engine::LoadOptions& load, std::string name);

  [[nodiscard]] const engine::Loaded& loaded() const { return loaded_; }
  [[nodiscard]] engine::Heartbeat heartbeat() const;
  [[nodiscard]] int slots() const;

  // As in model/engine.h.
  engine::RequestId generate(engine::Generate request, GenerationListener& listener);
  void cancel(engine::RequestId id);
  engine::RequestId embed(const engine::Embed& request, std::function<void(Result<engine::Embeddings>)> done);
  [[nodiscard]] AsioEventLoop& loop() { return loop_; }
  void tokenize(const engine::Tokenize& request, std::function<void(Result<engine::Tokens>)> done);
  void on_death(std::function<void(const Error&)> heard);
  void stop(std::function<void()> gone);
  void close();  // nothing is heard any more, everything on the wire is cut

 private:
  // One generation, through its tries.
  struct Generation {
    engine::Generate request;
    GenerationListener* listener = nullptr;
    HttpAsk ask;
    int tries = 0;
    bool said_something = false;  // a retry would repeat it
    HttpClient::Id on_wire = 0;   // 0: collected, waiting, or between two tries
    TimerId retry = TimerId::none;

    // Of the current try.
    HttpHead head;
    std::string error_body;
    std::optional<AnswerStream> stream;
    TimePoint sent{};
  };

  void collect(engine::RequestId id);
  void release_window();
  void schedule_pump();
  void pump();

  void send(engine::RequestId id);
  void heard(engine::RequestId id, std::string_view data);
  void ended(engine::RequestId id, const Status& status);
  void try_again(engine::RequestId id, const Error& error, std::optional<Duration> retry_after);
  void finish(engine::RequestId id, engine::Finished finished);
  void fail_generation(engine::RequestId id, const Error& error);
  void forget(engine::RequestId id);
  engine::RequestId refuse(engine::RequestId id, Error error);
  void fail_all(const Error& error);

  template <typename T, typename Parse>
  HttpClient::Id fetch(HttpAsk ask, Bytes limit, std::function<void(Result<T>)> done, Parse parse);
  void tokenize_text(const std::string& text, bool add_special, std::function<void(Result<engine::Tokens>)> done);

  void watch_health();
  void check_health();
  void health_known(bool well, const std::string& how);

  AsioEventLoop& loop_;
  const HttpEngineOptions options_;
  std::shared_ptr<HttpClient> client_;
  const HttpServer server_;
  const std::string model_, name_;  // name_: of the server, for messages
  engine::Loaded loaded_;
  engine::Heartbeat beat_;
  std::map<engine::RequestId, Generation> generations_;
  std::vector<engine::RequestId> collected_;  // in the window
  std::deque<engine::RequestId> ready_;       // for a slot
  std::vector<HttpClient::Id> fetches_;
  std::map<engine::RequestId, HttpClient::Id> embeds_;  // of the fetches, those that can be cancelled
  size_t in_flight_ = 0;
  engine::RequestId next_ = 1;
  TimerId window_timer_ = TimerId::none, health_timer_ = TimerId::none;
  HttpClient::Id health_check_ = 0;
  int failures_ = 0;
  bool closed_ = false;
  std::function<void(const Error&)> died_;
};

}  // namespace skep::model
