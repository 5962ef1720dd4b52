#include "engine/native/team.h"

#include <algorithm>
#include <cassert>

namespace skep::engine::native {
namespace {

constexpr uint32_t kLeastSpins = 64, kMostSpins = 16'384;  // of about 20 ns each
constexpr std::chrono::microseconds kOrdinaryWait{200};

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

}  // namespace

Team::Team(int threads) : spin_limit_(kMostSpins / 4) {
  assert(threads >= 1 && threads <= kMostThreads);
  for (int i = 0; i < threads; ++i) shares_.push_back(std::make_unique<Share>());
  for (int i = 1; i < threads; ++i) others_.emplace_back([this, i] { work(i); });
}

Team::~Team() {
  stopping_ = true;
  job_.fetch_add(1U << 8U, std::memory_order_release);
  job_.notify_all();
  for (std::thread& t : others_) t.join();
}

void Team::wait_while(std::atomic<uint32_t>& word, uint32_t old) {
  const uint32_t limit = spin_limit_.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < limit; ++i) {
    if (word.load(std::memory_order_acquire) != old) {
      // Slowly up: what is seldom needed is soon paid for.
      if (i > limit / 2 && limit < kMostSpins) spin_limit_.store(limit + limit / 8, std::memory_order_relaxed);
      return;
    }
    pause();
  }
  spin_limit_.store(std::max(kLeastSpins, limit - limit / 4), std::memory_order_relaxed);
  while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

void Team::arrive(int members, bool measured) {
  const uint32_t generation = generation_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(members)) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(generation + 1, std::memory_order_release);
    generation_.notify_all();
    return;
  }
  if (!measured) return wait_while(generation_, generation);
  const auto began = std::chrono::steady_clock::now();
  wait_while(generation_, generation);
  const auto waited = std::chrono::steady_clock::now() - began;
  if (waited > kOrdinaryWait) stalled_ += waited - kOrdinaryWait;
}

void Member::barrier() {
  ++phase_;
  if (size_ > 1) team_.arrive(size_, index_ == 0);
}

void Team::start(int members, Body body, void* context) {
  assert(members >= 1 && members <= threads());
  body_ = body;
  context_ = context;
  stalled_ = {};
  for (const auto& share : shares_) {
    for (auto& begun : share->begun) begun.store(0, std::memory_order_relaxed);
  }
  if (members > 1) {
    returned_.store(0, std::memory_order_relaxed);
    const uint32_t count = job_.load(std::memory_order_relaxed) >> 8U;
    job_.store((count + 1) << 8U | static_cast<uint32_t>(members), std::memory_order_release);
    job_.notify_all();
  }
  Member self(*this, 0, members);
  body(context, self);
  if (members == 1) return;
  const auto all = static_cast<uint32_t>(members - 1);
  for (uint32_t back = returned_.load(std::memory_order_acquire); back != all;) {
    wait_while(returned_, back);
    back = returned_.load(std::memory_order_acquire);
  }
}

void Team::work(int index) {
  uint32_t seen = 0;
  for (;;) {
    wait_while(job_, seen);
    seen = job_.load(std::memory_order_acquire);
    if (stopping_) return;
    const int members = static_cast<int>(seen & 255U);
    if (index >= members) continue;
    Member self(*this, index, members);
    body_(context_, self);
    returned_.fetch_add(1, std::memory_order_release);
    returned_.notify_one();
  }
}

}  // namespace skep::engine::native
