#include "base/asio_event_loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <unordered_map>
#include <utility>

namespace skep {

namespace asio = boost::asio;

struct AsioEventLoop::Impl {
  explicit Impl(int threads) : pool(static_cast<size_t>(threads)) {}

  SystemClock clock;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  asio::thread_pool pool;
  std::unordered_map<uint64_t, asio::steady_timer> timers;
  uint64_t next = 1;
};

AsioEventLoop::AsioEventLoop(int blocking_threads) : impl_(std::make_unique<Impl>(blocking_threads)) {}

AsioEventLoop::~AsioEventLoop() {
  impl_->pool.join();
  impl_->timers.clear();
}

const Clock& AsioEventLoop::clock() const { return impl_->clock; }

void AsioEventLoop::post(std::function<void()> work) { asio::post(impl_->context, std::move(work)); }

TimerId AsioEventLoop::after(Duration delay, std::function<void()> work) {
  uint64_t id = impl_->next++;
  auto [entry, inserted] = impl_->timers.emplace(id, asio::steady_timer(impl_->context, delay));
  entry->second.async_wait([this, id, work = std::move(work)](const boost::system::error_code& error) {
    if (error) return;
    // Cancelled between its expiry and now: the entry is gone already.
    if (impl_->timers.erase(id) == 0) return;
    work();
  });
  return static_cast<TimerId>(id);
}

void AsioEventLoop::cancel(TimerId timer) { impl_->timers.erase(static_cast<uint64_t>(timer)); }

void AsioEventLoop::blocking(std::function<void()> work, std::function<void()> done) {
  asio::post(impl_->pool, [this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    asio::post(impl_->context, std::move(done));
  });
}

void AsioEventLoop::run() { impl_->context.run(); }
void AsioEventLoop::stop() { impl_->context.stop(); }
asio::io_context& AsioEventLoop::context() { return impl_->context; }

}  // namespace skep
