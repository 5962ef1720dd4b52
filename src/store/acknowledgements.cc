#include "store/acknowledgements.h"

namespace skep::store {

Acknowledgements::~Acknowledgements() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void Acknowledgements::add(std::function<Status()> wait, std::function<void(Status)> done) {
  std::lock_guard lock(mutex_);
  waiting_.push_back({std::move(wait), std::move(done)});
  work_.notify_one();
}

void Acknowledgements::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    next.done(next.wait());
    lock.lock();
  }
}

}  // namespace skep::store
