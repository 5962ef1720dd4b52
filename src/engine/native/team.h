#pragma once
// The threads of one forward pass. A pass is one function that all members run from end to end, phase by phase, with a
// barrier between phases; there is no task queue. Within a phase every member begins with its own share of the chunks
// and then takes over what others have not begun: a member whose core is busy with something else holds up nobody for
// longer than its chunk.
//
// Waiting (the good-neighbour rule): a member that waits spins for a while and then sleeps. The limit adapts: a wait
// that ended within it raises it, one that did not lowers it, so that on a quiet machine nobody sleeps in a pass, and
// beside a busy neighbour nobody burns the time slice that the late member needs.
//
// Thread: run() from one thread at a time, which is member 0.

#include <array>
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

  // Nobody goes on before all have come here. Ends the phase.
  void barrier();

  // Calls f(chunk) for every chunk in [0, chunks) exactly once over all members; every member of the run calls it with
  // the same number, once per phase. Returns when no chunk is left to begin.
  template <typename F>
  void share_out(int chunks, F&& f);

 private:
  friend class Team;
  Member(Team& team, int index, int size) : team_(team), index_(index), size_(size) {}
  Team& team_;
  int index_, size_;
  uint32_t phase_ = 0;
};

class Team {
 public:
  static constexpr int kMostThreads = 255;
  explicit Team(int threads);  // 1 … kMostThreads
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  [[nodiscard]] int threads() const { return static_cast<int>(shares_.size()); }

  // body(Member&) on `members` threads at once (1 … threads()). Must not throw.
  template <typename F>
  void run(int members, F&& body) {
    start(
        members, [](void* f, Member& member) { (*static_cast<std::remove_reference_t<F>*>(f))(member); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  // How long member 0 waited at barriers beyond the ordinary (200 µs each) in the last run: the time that others' cores
  // gave to somebody else.
  [[nodiscard]] std::chrono::nanoseconds stalled() const { return stalled_; }
  [[nodiscard]] uint32_t spin_limit() const { return spin_limit_.load(std::memory_order_relaxed); }

 private:
  friend class Member;
  using Body = void (*)(void* context, Member& member);
  void start(int members, Body body, void* context);
  void work(int index);
  void arrive(int members, bool measured);
  // Until `word` is no longer `old`.
  void wait_while(std::atomic<uint32_t>& word, uint32_t old);

  // The chunks that one member has not begun yet, for three phases in turn: a phase's slot is reset two barriers before
  // it is used again, when nobody can still look at it.
  static constexpr uint32_t kSlots = 3;
  struct alignas(64) Share {
    std::array<std::atomic<int>, kSlots> begun{};
  };

  std::vector<std::unique_ptr<Share>> shares_;
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
  // The current run: a count in the upper bits, its members in the lowest eight. Who is not among them leaves body_
  // alone, and nobody waits for him.
  alignas(64) std::atomic<uint32_t> job_{0};
  alignas(64) std::atomic<uint32_t> returned_{0};
  std::atomic<uint32_t> spin_limit_;
  Body body_ = nullptr;
  void* context_ = nullptr;
  bool stopping_ = false;
  std::chrono::nanoseconds stalled_{0};
  std::vector<std::thread> others_;
};

template <typename F>
void Member::share_out(int chunks, F&& f) {
  const uint32_t slot = phase_ % Team::kSlots;
  team_.shares_[static_cast<size_t>(index_)]->begun[(phase_ + 1) % Team::kSlots].store(0, std::memory_order_relaxed);
  for (int i = 0; i < size_; ++i) {
    const int owner = (index_ + i) % size_;
    const int begin = static_cast<int>(int64_t{chunks} * owner / size_);
    const int end = static_cast<int>(int64_t{chunks} * (owner + 1) / size_);
    auto& begun = team_.shares_[static_cast<size_t>(owner)]->begun[slot];
    while (begin + begun.load(std::memory_order_relaxed) < end) {
      const int chunk = begin + begun.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= end) break;
      f(chunk);
    }
  }
}

}  // namespace skep::engine::native
