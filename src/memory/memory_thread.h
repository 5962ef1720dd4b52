#pragma once
// Runs a LongTerm on a thread of its own, for an event loop that must not wait: calls queue up and are answered on the
// loop, in order. In between the thread does the store's idle work, and syncs it ten times a second.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "base/event_loop.h"
#include "memory/fact.h"

namespace skep::memory {

class MemoryThread {
 public:
  static constexpr size_t kMostWaiting = 4096;  // calls; one more is answered with overloaded

  MemoryThread(EventLoop& loop, std::unique_ptr<LongTerm> store);
  ~MemoryThread();  // finishes what waits, syncs; answers that are not delivered yet are dropped
  MemoryThread(const MemoryThread&) = delete;
  MemoryThread& operator=(const MemoryThread&) = delete;

  // `work` on the thread; `done` gets its Result on the loop, never from inside the call.
  template <typename Work, typename Done>
  void run(Work work, Done done) {
    using Answer = std::invoke_result_t<Work&, LongTerm&>;
    auto answer = std::make_shared<std::optional<Answer>>();
    auto deliver = [alive = alive_, answer, done = std::move(done)]() mutable {
      if (*alive) done(std::move(**answer));
    };
    if (!enqueue(
            {[answer, work = std::move(work)](LongTerm& store) mutable { answer->emplace(work(store)); }, deliver})) {
      answer->emplace(fail(ErrorCode::overloaded, "too many calls wait for long-term memory", "try again"));
      loop_.post(deliver);
    }
  }

 private:
  struct Call {
    std::function<void(LongTerm&)> work;
    std::function<void()> deliver;
  };
  bool enqueue(Call call);
  void serve();

  EventLoop& loop_;
  std::unique_ptr<LongTerm> store_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Call> waiting_;
  bool ending_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // read on the loop alone
  std::thread thread_;                                          // last: it uses the above
};

}  // namespace skep::memory
