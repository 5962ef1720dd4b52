#pragma once
// Connections to one Redis server, shared by threads: each call borrows one, sends its commands in one write and reads
// the answers (pipelining), and gives it back. A connection that the server closed meanwhile is noticed before it is
// used; while the server is away, calls fail at once and a connection is tried again after a growing pause.
//
// hiredis 0.14: no TLS. A server elsewhere belongs behind a tunnel.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

struct redisContext;

namespace skep::store {

struct RedisOptions {
  std::string host = "127.0.0.1";
  int port = 6379;
  std::string socket;  // of a Unix socket; instead of host and port
  std::string user, password;
  int database = 0;
  int connections = 4;  // at most; further callers wait
  Duration connect_timeout = std::chrono::seconds(1);
  Duration call_timeout = std::chrono::seconds(2);
  Duration longest_pause = std::chrono::seconds(5);  // between attempts to connect
};

// redis://[[user]:password@]host[:port][/database] or redis+unix:///path.
Result<RedisOptions> parse_redis_url(const std::string& url);

struct RedisReply {
  enum class Kind { nil, integer, text, list, error };
  Kind kind = Kind::nil;
  int64_t integer = 0;
  std::string text;  // of errors too
  std::vector<RedisReply> list;
};

using RedisCommand = std::vector<std::string>;

class RedisPool {
 public:
  explicit RedisPool(RedisOptions options);
  ~RedisPool();
  RedisPool(const RedisPool&) = delete;
  RedisPool& operator=(const RedisPool&) = delete;

  // One reply per command, in order; a command that Redis refuses has an error as its reply and does not stop the
  // others. unavailable: the server can't be reached or did not answer in time; whether a command that was sent had
  // its effect is then unknown. Any thread.
  Result<std::vector<RedisReply>> run(const std::vector<RedisCommand>& commands);

  [[nodiscard]] int64_t connects() const;  // since the beginning, for tests and metrics

 private:
  struct CloseContext {
    void operator()(redisContext* context) const;
  };
  using Connection = std::unique_ptr<redisContext, CloseContext>;
  Result<Connection> borrow();
  void give_back(Connection connection);
  Result<Connection> connect();

  RedisOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<Connection> idle_;
  int borrowed_ = 0;
  int64_t connects_ = 0;
  Duration pause_{};        // after the last failed attempt
  TimePoint not_before_{};  // of the next one
};

}  // namespace skep::store
