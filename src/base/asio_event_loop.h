#pragma once
// The real EventLoop: one thread in Boost.Asio's io_context and a small pool for blocking calls. Asio itself stays out
// of this header.

#include <memory>

#include "base/event_loop.h"

namespace boost::asio {
class io_context;
}

namespace skep {

class AsioEventLoop final : public EventLoop {
 public:
  explicit AsioEventLoop(int blocking_threads = 2);
  ~AsioEventLoop() override;
  AsioEventLoop(const AsioEventLoop&) = delete;
  AsioEventLoop& operator=(const AsioEventLoop&) = delete;

  [[nodiscard]] const Clock& clock() const override;
  void post(std::function<void()> work) override;
  TimerId after(Duration delay, std::function<void()> work) override;
  void cancel(TimerId timer) override;
  void blocking(std::function<void()> work, std::function<void()> done) override;

  void run();   // until stop()
  void stop();  // from any thread

  [[nodiscard]] boost::asio::io_context& context();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep
