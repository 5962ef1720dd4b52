#pragma once
// Between work in a blocking pool and the life of what it uses: the work passes the gate, or finds it closed and does
// nothing; whoever owns the things closes it, which waits for those inside. Held by shared_ptr on both sides.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

namespace skep {

class Gate {
 public:
  // Runs `work` unless the gate is closed. Any thread.
  template <typename Work>
  void pass(const Work& work) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return;
      ++inside_;
    }
    work();
    std::lock_guard lock(mutex_);
    if (--inside_ == 0) left_.notify_all();
  }
  void close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    left_.wait(lock, [&] { return inside_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable left_;
  int inside_ = 0;
  bool closed_ = false;
};

}  // namespace skep
