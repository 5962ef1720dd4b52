#include "memory/memory_thread.h"

namespace skep::memory {
namespace {

constexpr auto kSyncEvery = std::chrono::milliseconds(100);

}  // namespace

MemoryThread::MemoryThread(EventLoop& loop, std::unique_ptr<LongTerm> store)
    : loop_(loop), store_(std::move(store)), thread_([this] { serve(); }) {}

MemoryThread::~MemoryThread() {
  *alive_ = false;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

bool MemoryThread::enqueue(Call call) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMostWaiting) return false;
    waiting_.push_back(std::move(call));
  }
  wake_.notify_one();
  return true;
}

void MemoryThread::serve() {
  bool dirty = false;  // something ran since the last sync
  bool idle_work = true;
  auto synced = std::chrono::steady_clock::now();
  for (;;) {
    Call call;
    {
      std::unique_lock lock(mutex_);
      const auto something = [&] { return ending_ || !waiting_.empty(); };
      if (dirty && !idle_work) {
        wake_.wait_until(lock, synced + kSyncEvery, something);
      } else if (!idle_work) {
        wake_.wait(lock, something);
      }
      if (!waiting_.empty()) {
        call = std::move(waiting_.front());
        waiting_.pop_front();
      } else if (ending_) {
        break;
      }
    }
    if (call.work) {
      call.work(*store_);
      loop_.post(std::move(call.deliver));
      dirty = idle_work = true;
    } else {
      idle_work = idle_work && store_->work();
    }
    if (const auto now = std::chrono::steady_clock::now(); dirty && now - synced >= kSyncEvery) {
      synced = now;
      dirty = false;
      // A store that can't sync says so at its next change.
      static_cast<void>(store_->sync());
    }
  }
  static_cast<void>(store_->sync());
}

}  // namespace skep::memory
