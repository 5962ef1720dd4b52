#pragma once
// Tells those who don't want to wait when what they wrote is safe: a thread that waits in their place, one after
// another, in the order of their coming. The first one's wait serves those behind it (group commit), whose own waits
// then return at once.
//
// Not bounded by itself: what waits here is in the journal, whose bytes are.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/result.h"

namespace skep::store {

class Acknowledgements {
 public:
  Acknowledgements() : thread_([this] { run(); }) {}
  ~Acknowledgements();  // tells everybody first
  Acknowledgements(const Acknowledgements&) = delete;
  Acknowledgements& operator=(const Acknowledgements&) = delete;

  // `wait` and then `done`, with what it gave, on the thread.
  void add(std::function<Status()> wait, std::function<void(Status)> done);

 private:
  struct Waiting {
    std::function<Status()> wait;
    std::function<void(Status)> done;
  };
  void run();

  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Waiting> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skep::store
