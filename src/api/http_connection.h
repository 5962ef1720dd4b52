#pragma once
// One client's connection: reads a request, has it answered, writes the answer, and so on. Internal to http_server.cc.
//
// One coroutine, run(), does everything in order. Beside it there is only the watch: a wait for readability that is
// armed while the connection is idle (then it announces the next request) and while an answer is under way (then it
// notices that the client left). While idle, a connection holds its socket, a timer and a coroutine frame, no buffer.
//
//   idle ──bytes──▶ reading ──request──▶ answering ──▶ idle
//     any ──deadline, end of file, drain──▶ closed

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <memory>
#include <string>

#include "api/http_server.h"

namespace skep::api {

class Connection;
class OpenExchange;

// What the connections of one server share. On the loop.
struct ConnectionHost {
  HttpHandler* handler = nullptr;  // null once the server is gone
  HttpLimits limits;
  const Clock* clock = nullptr;
  bool draining = false;
  Bytes bodies;  // bytes of request bodies that are promised or held
  // Called once, last, when a connection is over.
  std::function<void(Connection*)> over;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, std::shared_ptr<ConnectionHost> host);
  ~Connection();

  void start();               // spawns run()
  void sweep(TimePoint now);  // enforces the deadline of the present phase
  void wake();                // run() looks again at what it waits for
  void abandon();             // closes at once; the open exchange hears that its client is gone

 private:
  struct Parser;  // Beast's
  enum class Phase { idle, reading, answering, closed };

  boost::asio::awaitable<void> run();
  boost::asio::awaitable<bool> next_request();  // false: close
  boost::asio::awaitable<bool> read_request();  // false: close; an error was answered
  boost::asio::awaitable<bool> read_body(Parser& parser);
  boost::asio::awaitable<bool> refuse_read(const boost::system::error_code& error, const char* part);
  boost::asio::awaitable<bool> answer();  // false: close
  boost::asio::awaitable<bool> write_stream(const HttpResponse& head);
  boost::asio::awaitable<bool> write_all(std::string_view bytes);  // false: the client is gone
  boost::asio::awaitable<bool> refuse(HttpResponse response,
                                      const HttpRequest* request = nullptr);  // answers, then closes: always false
  boost::asio::awaitable<void> linger();  // so that the refused client can read why before the reset
  boost::asio::awaitable<void> signal();  // until wake()

  void exchange_changed();  // there is more to write, or too much
  void arm_watch();
  void readable();
  void close();
  void set_deadline(Duration from_now);
  void no_deadline();
  void release_body();

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer signal_;
  boost::beast::flat_buffer buffer_;
  std::shared_ptr<ConnectionHost> host_;
  std::shared_ptr<OpenExchange> exchange_;  // while answering
  Phase phase_ = Phase::idle;
  TimePoint deadline_ = TimePoint::max();
  TimePoint request_began_{};
  Bytes body_promised_;
  Bytes sent_;
  bool watching_ = false;
  bool gone_ = false;       // end of file or an error on the socket
  bool timed_out_ = false;  // the sweep ended the present phase
  bool keep_alive_ = true;
  bool http10_ = false;
};

}  // namespace skep::api
