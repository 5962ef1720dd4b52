#pragma once
// The threads of one forward pass. A pass is one function that all members run from end to end, phase by phase; there
// is no task queue. A phase is a number of chunks: every member begins with its own share and then takes over what
// others have not begun, and the phase is over when every chunk is done, by whomever. Nobody waits for a member, only
// for chunks: one whose core is taken by something else is waited for only when that happened in the middle of a chunk,
// and when it comes back it runs through the phases that ended without it.
//
// Therefore a body touches what phases change only within chunks.
//
// Waiting (the good-neighbour rule): a member that waits spins for a while and then sleeps. The limit adapts: a wait
// that ended within it raises it, one that did not lowers it, so that on a quiet machine nobody sleeps in a pass, and
// beside a busy neighbour nobody burns the time slice that the late member needs.
//
// Thread: run() from one thread at a time, which is member 0.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace skep::engine::native {

class Team;

class Member {
 public:
  [[nodiscard]] int index() const { return index_; }
  [[nodiscard]] int size() const { return size_; }  // members of this run

  // Calls f(chunk) for every chunk in [0, chunks) exactly once over all members, and returns when all are done. Every
  // member that comes so far calls it with the same number; each may leave the body between phases, as the others do
  // its share.
  template <typename F>
  void phase(int chunks, F&& f);

 private:
  friend class Team;
  Member(Team& team, int index, int size, uint32_t first) : team_(team), index_(index), size_(size), next_(first) {}
  Team& team_;
  int index_, size_;
  uint32_t next_;  // phase, counted over all runs
};

class Team {
 public:
  static constexpr int kMostThreads = 255;
  explicit Team(int threads);  // 1 … kMostThreads
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  [[nodiscard]] int threads() const { return static_cast<int>(shares_.size()); }

  // body(Member&) on up to `members` threads at once (1 … threads()): those that come before it is over. Returns when
  // all that came have left. Must not throw.
  template <typename F>
  void run(int members, F&& body) {
    start(
        members, [](void* f, Member& member) { (*static_cast<std::remove_reference_t<F>*>(f))(member); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  // How long member 0 waited for chunks beyond the ordinary (200 µs each) in the last run: the time that others' cores
  // gave to somebody else.
  [[nodiscard]] std::chrono::nanoseconds stalled() const { return stalled_; }
  [[nodiscard]] uint32_t spin_limit() const { return spin_limit_.load(std::memory_order_relaxed); }

 private:
  friend class Member;
  using Body = void (*)(void* context, Member& member);
  void start(int members, Body body, void* context);
  void work(int index);
  // The next chunk of `owner`, of `count`, in a phase; -1 when none is left, or the phase is over.
  int claim(int owner, uint32_t phase, int count);
  void finish(uint32_t phase, int chunks);  // of one chunk
  void wait_until_over(uint32_t phase, bool measured);
  // Until `word` is no longer `old`.
  void wait_while(std::atomic<uint32_t>& word, uint32_t old);

  // How many chunks of one member's share were begun: the phase in the upper half, the number in the lower. Phases only
  // grow, so who comes late to one finds it taken.
  struct alignas(64) Share {
    std::atomic<uint64_t> begun{0};
  };

  std::vector<std::unique_ptr<Share>> shares_;
  alignas(64) std::atomic<uint32_t> done_{0};  // chunks of the open phase
  alignas(64) std::atomic<uint32_t> open_{1};  // the phase that is open: all before it are over
  // The runs so far. Members wait for it to change.
  alignas(64) std::atomic<uint32_t> job_{0};
  // Members in the current run beside 0, and whether it takes no more.
  alignas(64) std::atomic<uint32_t> inside_{kClosed};
  static constexpr uint32_t kClosed = 1U << 31U;
  std::atomic<uint32_t> spin_limit_;
  // Of the current run; written while nobody is inside.
  Body body_ = nullptr;
  void* context_ = nullptr;
  int members_ = 0;
  uint32_t first_phase_ = 1;
  std::atomic<bool> stopping_{false};
  std::chrono::nanoseconds stalled_{0};
  std::vector<std::thread> others_;
};

template <typename F>
void Member::phase(int chunks, F&& f) {
  if (chunks == 0) return;
  const uint32_t phase = next_++;
  for (int i = 0; i < size_; ++i) {
    const int owner = (index_ + i) % size_;
    const int begin = static_cast<int>(int64_t{chunks} * owner / size_);
    const int end = static_cast<int>(int64_t{chunks} * (owner + 1) / size_);
    for (int n = team_.claim(owner, phase, end - begin); n >= 0; n = team_.claim(owner, phase, end - begin)) {
      f(begin + n);
      team_.finish(phase, chunks);
    }
  }
  team_.wait_until_over(phase, index_ == 0);
}

}  // namespace skep::engine::native
