#include "engine/connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace skep::engine {

Connection::Connection(int fd, std::function<void()> ended) : fd_(fd), on_end_(std::move(ended)) {
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  thread_ = std::thread([this] { run(); });
}

Connection::~Connection() {
  closing_ = true;
  wake();
  thread_.join();
  close(wake_);
  close(fd_);
}

void Connection::wake() {
  const uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
}

void Connection::send(RequestId request, const Message& message) {
  auto bytes = encode(request, message);
  if (!bytes) bytes = encode(request, Failed{bytes.error()});  // an answer over the limit: the request fails
  const std::lock_guard lock(mutex_);
  outbox_ += *bytes;
}

void Connection::flush() {
  bool left = false;
  {
    const std::lock_guard lock(mutex_);
    write_some();
    left = !outbox_.empty();
  }
  if (left) wake();  // the connection's thread waits for the socket to take more
}

void Connection::drain(Duration limit) {
  flush();
  std::unique_lock lock(mutex_);
  sent_.wait_for(lock, limit, [this] { return outbox_.empty() || ended_; });
}

std::vector<Connection::Incoming> Connection::receive(Duration wait) {
  std::unique_lock lock(mutex_);
  if (inbox_.empty() && wait.count() > 0) {
    arrived_.wait_for(lock, wait, [this] { return !inbox_.empty() || ended_; });
  }
  return std::exchange(inbox_, {});
}

std::optional<Error> Connection::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void Connection::set_heartbeat(const Heartbeat& heartbeat) {
  const std::lock_guard lock(mutex_);
  heartbeat_ = heartbeat;
}

void Connection::begin_work(Duration limit) { work_ends_ = (clock_.now() + limit).time_since_epoch().count(); }

bool Connection::write_some() {
  while (outbox_sent_ < outbox_.size()) {
    const ssize_t n = ::send(fd_, outbox_.data() + outbox_sent_, outbox_.size() - outbox_sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return false;
    if (n < 0) break;
    outbox_sent_ += static_cast<size_t>(n);
  }
  if (outbox_sent_ == outbox_.size()) {
    outbox_.clear();
    outbox_sent_ = 0;
    sent_.notify_all();
  }
  return outbox_.size() - outbox_sent_ <= kUnsentLimit;
}

bool Connection::read_some() {
  std::array<char, 1U << 16U> chunk;
  while (true) {
    const ssize_t n = recv(fd_, chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (n <= 0) return end(std::nullopt), false;
    decoder_.feed({chunk.data(), static_cast<size_t>(n)});
    while (true) {
      auto frame = decoder_.next();
      if (!frame) return end(frame.error()), false;
      if (!*frame) break;
      auto message = decode(**frame);
      if (!message) return end(message.error()), false;
      if (std::holds_alternative<Shutdown>(*message)) return end(std::nullopt), false;
      if (std::holds_alternative<HeartbeatRequest>(*message)) {
        heartbeat();
        continue;
      }
      const std::lock_guard lock(mutex_);
      inbox_.push_back({(*frame)->request, std::move(*message)});
      arrived_.notify_one();
    }
  }
}

void Connection::heartbeat() {
  const int64_t limit = work_ends_;
  if (limit != 0 && clock_.now().time_since_epoch().count() > limit) return;
  Heartbeat now;
  {
    const std::lock_guard lock(mutex_);
    now = heartbeat_;
  }
  send(0, now);
}

void Connection::end(std::optional<Error> error) {
  {
    const std::lock_guard lock(mutex_);
    error_ = std::move(error);
    ended_ = true;
  }
  arrived_.notify_all();
  sent_.notify_all();
  on_end_();
}

void Connection::run() {
  TimePoint next = clock_.now() + kHeartbeatEvery;
  while (!closing_ && !ended_) {
    bool unsent = false;
    {
      const std::lock_guard lock(mutex_);
      if (!write_some()) {
        error_ = Error{ErrorCode::io, "the daemon does not read", {}};
        ended_ = true;
      }
      unsent = !outbox_.empty();
    }
    if (ended_) return end(error());
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - clock_.now()).count();
    std::array<pollfd, 2> fds = {{{fd_, static_cast<short>(POLLIN | (unsent ? POLLOUT : 0)), 0}, {wake_, POLLIN, 0}}};
    poll(fds.data(), fds.size(), static_cast<int>(std::clamp<int64_t>(left, 0, 1000)));
    uint64_t woken = 0;
    (void)!read(wake_, &woken, sizeof woken);
    if (clock_.now() >= next) {
      heartbeat();
      next += kHeartbeatEvery;
    }
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_some()) return;
  }
}

}  // namespace skep::engine
