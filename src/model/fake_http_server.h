#pragma once
// A server in the test's own process that answers as it is told, faults included. On the test's event loop.

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/asio_event_loop.h"

namespace skep::model {

class FakeHttpServer {
 public:
  struct Request {
    std::string method, target, body, authorization;
  };
  // What is done to the connection for one request, in order.
  struct Step {
    enum class Kind { send, pause, close } kind = Kind::send;
    std::string bytes;
    Duration time{};
  };
  using Script = std::vector<Step>;

  explicit FakeHttpServer(AsioEventLoop& loop);
  ~FakeHttpServer();

  [[nodiscard]] std::string url() const;
  // Which script for a request. What it doesn't know (an empty script) is answered with 404.
  std::function<Script(const Request&)> answer;
  void close_connections();  // as a server does with idle ones

  std::vector<Request> requests;  // all that came
  int accepted = 0;               // connections
  int open = 0;                   // of them now
  int answering = 0, most_answering = 0;

  // Pieces of scripts.
  static Step send(std::string bytes) { return {Step::Kind::send, std::move(bytes), {}}; }
  static Step pause(Duration time) { return {Step::Kind::pause, {}, time}; }
  static Step close() { return {Step::Kind::close, {}, {}}; }
  // A whole answer, or the beginning of a chunked one and its chunks.
  static Step reply(int status, const std::string& body, const std::string& headers = {});
  static Step stream_head(const std::string& type = "text/event-stream");
  static Step chunk(const std::string& bytes);
  static Step last_chunk();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace skep::model
