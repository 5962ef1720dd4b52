#pragma once
// The worker's end of the socket: a thread of its own reads frames and writes what the socket did not take at once, so
// that a long batch step neither delays a cancel nor a heartbeat. See doc/wire.md for what is said.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "engine/wire.h"

namespace skep::engine {

class Connection {
 public:
  static constexpr size_t kUnsentLimit = 64U << 20U;  // bytes; a daemon that reads so little is gone
  static constexpr Duration kHeartbeatEvery = std::chrono::seconds(1);

  struct Incoming {
    RequestId request;
    Message message;
  };

  // Owns `fd`. `ended` is called once, on the connection's thread, when the other side hung up, sent Shutdown, or broke
  // the protocol.
  Connection(int fd, std::function<void()> ended);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Any thread. Bytes go out in order, at flush() or when the connection's thread comes around.
  void send(RequestId request, const Message& message);
  void flush();
  // Blocks until everything is sent, at most so long.
  void drain(Duration limit);

  // What arrived since the last call. Blocks up to `wait` when there is nothing; returns empty when the connection
  // ended.
  std::vector<Incoming> receive(Duration wait);

  [[nodiscard]] bool ended() const { return ended_; }
  // Why it ended, where it did so badly.
  [[nodiscard]] std::optional<Error> error() const;

  // The heartbeat that is sent every second from now on; also the answer to HeartbeatRequest.
  void set_heartbeat(const Heartbeat& heartbeat);

  // The worker works on something since now, and expects to be done within `limit`; past it heartbeats stop, and the
  // daemon knows that it hangs.
  void begin_work(Duration limit);
  void end_work() { work_ends_ = 0; }

 private:
  void run();
  bool read_some();
  bool write_some();  // holds mutex_
  void heartbeat();
  void end(std::optional<Error> error);
  void wake();

  int fd_;
  int wake_ = -1;
  std::function<void()> on_end_;
  std::atomic<bool> ended_{false};
  std::atomic<bool> closing_{false};
  std::atomic<int64_t> work_ends_{0};  // steady clock, ns; 0: idle
  mutable std::mutex mutex_;
  std::condition_variable arrived_, sent_;
  std::vector<Incoming> inbox_;
  std::string outbox_;
  size_t outbox_sent_ = 0;
  Heartbeat heartbeat_;
  std::optional<Error> error_;
  FrameDecoder decoder_;
  SystemClock clock_;
  std::thread thread_;
};

}  // namespace skep::engine
