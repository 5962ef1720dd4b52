#include "kernel/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <thread>
#include <vector>

namespace skep::kernel {
namespace {

constexpr int kSpins = 4000;  // about 20 µs of waiting before yielding
constexpr int kYields = 64;   // then before sleeping
constexpr int kMostThreads = 256;

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

cpu_set_t allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) CPU_SET(0, &set);
  return set;
}

// Ours alone: hardly any load besides us.
bool machine_is_quiet() {
  double load = 0;
  return getloadavg(&load, 1) == 1 && load < 0.5;
}

// Each thread's share of a run is one word: the number of the run above, the chunks not yet handed out below. Claiming
// is a compare-and-swap on the whole word, so a worker that slept through a run can't take a chunk of the wrong one:
// the fields it read beforehand belong to the number in the word, or the exchange fails.
//
// Shares are the same in every run of as many chunks, so a chunk's data stays in the cache of one core; only who has
// finished its own share takes from others. Every other run goes through a share backwards: what does not fit the cache
// is at least met first where it was touched last.
class Pool final : public ThreadPool {
 public:
  Pool(int threads, bool pin) : shares_(static_cast<size_t>(threads)), pinned_(pin), all_(allowed_cpus()) {
    // The caller's own comes first, which no worker gets: pinned there it would wait for whom it should help.
    std::vector<int> cpus = {std::max(0, sched_getcpu())};
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &all_) && cpu != cpus.front()) cpus.push_back(cpu);
    }
    for (int t = 1; t < threads; ++t) {
      workers_.emplace_back([this, t] { work(static_cast<uint32_t>(t)); });
      if (pin && static_cast<size_t>(t) < cpus.size()) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpus[static_cast<size_t>(t)], &one);
        pthread_setaffinity_np(workers_.back().native_handle(), sizeof one, &one);
      }
    }
  }

  ~Pool() override {
    stop_.store(true, std::memory_order_relaxed);
    run_.fetch_add(kRun, std::memory_order_seq_cst);
    ring();
    for (std::thread& w : workers_) w.join();
  }

  [[nodiscard]] int threads() const override { return static_cast<int>(workers_.size()) + 1; }

  void run(uint32_t chunks, Function function, void* context) override {
    if (workers_.empty() || chunks <= 1) {
      for (uint32_t c = 0; c < chunks; ++c) function(context, c, 0);
      return;
    }
    function_.store(function, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    chunks_.store(chunks, std::memory_order_relaxed);
    finished_.store(0, std::memory_order_relaxed);
    const uint64_t run = run_.load(std::memory_order_relaxed) + kRun;
    for (uint32_t t = 0; t < shares_.size(); ++t) {
      shares_[t].word.store(run | (first_of(t + 1, chunks) - first_of(t, chunks)), std::memory_order_release);
    }
    run_.store(run, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) ring();
    take(0);
    await(chunks);
  }

 private:
  static constexpr uint64_t kRun = uint64_t{1} << 32;
  static constexpr uint64_t kChunks = kRun - 1;

  struct alignas(64) Share {
    std::atomic<uint64_t> word{0};
  };

  // Where the share of `thread` begins; that of the last ends at `chunks`.
  [[nodiscard]] uint32_t first_of(uint32_t thread, uint32_t chunks) const {
    return static_cast<uint32_t>(uint64_t{chunks} * thread / shares_.size());
  }

  // Takes chunks until none is left: its own share's first, then those of the threads after it.
  void take(uint32_t thread) {
    const auto threads = static_cast<uint32_t>(shares_.size());
    for (uint32_t i = 0; i < threads; ++i) take_from((thread + i) % threads, thread);
  }

  void take_from(uint32_t share, uint32_t thread) {
    std::atomic<uint64_t>& share_word = shares_[share].word;
    uint64_t word = share_word.load(std::memory_order_acquire);
    for (;;) {
      const auto left = static_cast<uint32_t>(word & kChunks);
      if (left == 0) return;
      const Function function = function_.load(std::memory_order_relaxed);
      void* context = context_.load(std::memory_order_relaxed);
      const uint32_t chunks = chunks_.load(std::memory_order_relaxed);
      if (!share_word.compare_exchange_weak(word, word - 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      const bool backwards = (word & kRun) != 0;
      const uint32_t chunk = backwards ? first_of(share, chunks) + left - 1 : first_of(share + 1, chunks) - left;
      function(context, chunk, thread);
      if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 == chunks) finished_.notify_one();
      word = share_word.load(std::memory_order_acquire);
    }
  }

  // Until the others have finished what they took. Sleeping in the end matters: an idle core lets the scheduler move a
  // worker over that a busy neighbour has pushed aside.
  void await(uint32_t chunks) {
    uint32_t done = finished_.load(std::memory_order_acquire);
    for (int i = 0; i < kSpins && done != chunks; ++i) {
      relax();
      done = finished_.load(std::memory_order_acquire);
    }
    for (int i = 0; i < kYields && done != chunks; ++i) {
      sched_yield();
      done = finished_.load(std::memory_order_acquire);
    }
    if (done == chunks) return;
    const auto since = std::chrono::steady_clock::now();
    while (done != chunks) {
      finished_.wait(done, std::memory_order_acquire);
      done = finished_.load(std::memory_order_acquire);
    }
    if (pinned_ && std::chrono::steady_clock::now() - since > std::chrono::milliseconds(1)) unpin();
  }

  void ring() {
    bell_.fetch_add(1, std::memory_order_seq_cst);
    bell_.notify_all();
  }

  // Somebody else wants the cores: let the scheduler place the workers from now on.
  void unpin() {
    for (std::thread& w : workers_) pthread_setaffinity_np(w.native_handle(), sizeof all_, &all_);
    pinned_ = false;
  }

  void work(uint32_t thread) {
    uint64_t seen = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
      uint64_t run = run_.load(std::memory_order_acquire);
      for (int i = 0; i < kSpins && run == seen; ++i) {
        relax();
        run = run_.load(std::memory_order_acquire);
      }
      for (int i = 0; i < kYields && run == seen; ++i) {
        sched_yield();
        run = run_.load(std::memory_order_acquire);
      }
      if (run == seen) {
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        for (;;) {
          // The bell is read before the number: whoever changes it after our look rings after our reading.
          const uint32_t bell = bell_.load(std::memory_order_seq_cst);
          run = run_.load(std::memory_order_seq_cst);
          if (run != seen) break;
          bell_.wait(bell, std::memory_order_seq_cst);
        }
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
      }
      seen = run;
      take(thread);
    }
  }

  std::vector<Share> shares_;                 // by thread
  alignas(64) std::atomic<uint64_t> run_{0};  // the number of the last run, in steps of kRun
  alignas(64) std::atomic<uint32_t> finished_{0};
  alignas(64) std::atomic<uint32_t> bell_{0};  // what idle workers sleep on
  std::atomic<Function> function_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<uint32_t> chunks_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  bool pinned_;
  cpu_set_t all_;
  std::vector<std::thread> workers_;
};

}  // namespace

std::unique_ptr<ThreadPool> ThreadPool::create(int threads, Pinning pinning) {
  const cpu_set_t set = allowed_cpus();
  const int cpus = std::max(1, CPU_COUNT(&set));
  if (threads <= 0) threads = cpus;
  threads = std::min(threads, kMostThreads);
  const bool pin =
      pinning == Pinning::always || (pinning == Pinning::automatic && threads <= cpus && machine_is_quiet());
  return std::make_unique<Pool>(threads, pin);
}

}  // namespace skep::kernel
