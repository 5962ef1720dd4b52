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
  stopping_.store(true, std::memory_order_relaxed);
  job_.fetch_add(1, std::memory_order_release);
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

int Team::claim(int owner, uint32_t phase, int count) {
  if (count == 0) return -1;
  std::atomic<uint64_t>& begun = shares_[static_cast<size_t>(owner)]->begun;
  uint64_t seen = begun.load(std::memory_order_relaxed);
  for (;;) {
    const auto age = static_cast<int32_t>(static_cast<uint32_t>(seen >> 32U) - phase);  // phases may wrap
    const uint32_t number = age == 0 ? static_cast<uint32_t>(seen) : 0;
    if (age > 0 || number >= static_cast<uint32_t>(count)) return -1;
    if (begun.compare_exchange_weak(seen, uint64_t{phase} << 32U | (number + 1), std::memory_order_relaxed)) {
      return static_cast<int>(number);
    }
  }
}

// Whoever does the last chunk opens the next phase; everything that was done before is seen by who enters that.
void Team::finish(uint32_t phase, int chunks) {
  if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 != static_cast<uint32_t>(chunks)) return;
  done_.store(0, std::memory_order_relaxed);
  open_.store(phase + 1, std::memory_order_release);
  open_.notify_all();
}

void Team::wait_until_over(uint32_t phase, bool measured) {
  if (open_.load(std::memory_order_acquire) != phase) return;
  if (!measured) return wait_while(open_, phase);
  const auto began = std::chrono::steady_clock::now();
  wait_while(open_, phase);
  const auto waited = std::chrono::steady_clock::now() - began;
  if (waited > kOrdinaryWait) stalled_ += waited - kOrdinaryWait;
}

void Team::start(int members, Body body, void* context) {
  assert(members >= 1 && members <= threads());
  body_ = body;
  context_ = context;
  members_ = members;
  first_phase_ = open_.load(std::memory_order_relaxed);
  stalled_ = {};
  if (members > 1) {
    inside_.store(0, std::memory_order_release);
    job_.fetch_add(1, std::memory_order_release);
    job_.notify_all();
  }
  Member self(*this, 0, members, first_phase_);
  body(context, self);
  if (members == 1) return;
  for (uint32_t inside = inside_.fetch_or(kClosed, std::memory_order_acq_rel) | kClosed; inside != kClosed;) {
    wait_while(inside_, inside);
    inside = inside_.load(std::memory_order_acquire);
  }
}

void Team::work(int index) {
  uint32_t seen = 0;
  for (;;) {
    wait_while(job_, seen);
    seen = job_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    // In, unless it is over: then the next one. Between the two lines a run may have ended and another begun; it is
    // that one then, whose numbers are read only from here on.
    uint32_t inside = inside_.load(std::memory_order_relaxed);
    while ((inside & kClosed) == 0 &&
           !inside_.compare_exchange_weak(inside, inside + 1, std::memory_order_acq_rel, std::memory_order_relaxed)) {
    }
    if ((inside & kClosed) != 0) continue;
    if (index < members_) {
      Member self(*this, index, members_, first_phase_);
      body_(context_, self);
    }
    if (inside_.fetch_sub(1, std::memory_order_acq_rel) - 1 == kClosed) inside_.notify_all();
  }
}

}  // namespace skep::engine::native
