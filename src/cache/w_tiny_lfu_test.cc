#include "cache/w_tiny_lfu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/random.h"

namespace skep::cache {
namespace {

// A cache of equal things under a trace of names; gives its hit rate.
class Trace {
 public:
  explicit Trace(int room) : room_(room), policy_(Bytes(room), static_cast<size_t>(room)) {}
  void ask(int name) {
    std::string key = std::to_string(name);
    ++asked_;
    if (policy_.holds(key)) {
      policy_.touch(key);
      ++hits_;
      return;
    }
    policy_.insert(key, 1_B);
    if (policy_.size() > Bytes(room_)) policy_.erase(*policy_.victim());
    EXPECT_LE(policy_.size(), Bytes(room_));
  }
  [[nodiscard]] bool holds(int name) const { return policy_.holds(std::to_string(name)); }
  [[nodiscard]] double hit_rate() const { return static_cast<double>(hits_) / asked_; }

 private:
  int room_;
  WTinyLfu policy_;
  int asked_ = 0, hits_ = 0;
};

TEST(WTinyLfu, AScanDoesNotPushOutWhatIsUsed) {
  Trace trace(100);
  for (int round = 0; round < 10; ++round) {
    for (int name = 0; name < 50; ++name) trace.ask(name);
  }
  for (int once = 1000; once < 6000; ++once) trace.ask(once);
  int stayed = 0;
  for (int name = 0; name < 50; ++name) stayed += trace.holds(name) ? 1 : 0;
  EXPECT_GE(stayed, 45);
}

TEST(WTinyLfu, OldFameFades) {
  Trace trace(100);
  for (int round = 0; round < 30; ++round) {
    for (int name = 0; name < 90; ++name) trace.ask(name);
  }
  for (int round = 0; round < 30; ++round) {
    for (int name = 500; name < 590; ++name) trace.ask(name);
  }
  int moved_in = 0;
  for (int name = 500; name < 590; ++name) moved_in += trace.holds(name) ? 1 : 0;
  EXPECT_GE(moved_in, 80);
}

TEST(WTinyLfu, BeatsLruOnASkewedTrace) {
  constexpr int kNames = 5000, kRoom = 200;
  std::vector<double> sums;
  double sum = 0;
  for (int i = 1; i <= kNames; ++i) sums.push_back(sum += 1.0 / std::pow(i, 0.9));
  Random random(3);
  Trace trace(kRoom);
  std::list<int> lru;
  int lru_hits = 0;
  constexpr int kSteps = 100'000;
  for (int step = 0; step < kSteps; ++step) {
    int name = static_cast<int>(std::lower_bound(sums.begin(), sums.end(), random.uniform() * sum) - sums.begin());
    trace.ask(name);
    auto found = std::find(lru.begin(), lru.end(), name);
    if (found != lru.end()) {
      ++lru_hits;
      lru.erase(found);
    }
    lru.push_front(name);
    if (lru.size() > kRoom) lru.pop_back();
  }
  EXPECT_GT(trace.hit_rate(), 1.1 * lru_hits / kSteps);
}

TEST(WTinyLfu, CountsBytesThroughEverything) {
  WTinyLfu policy(1000_B);
  policy.insert("a", 100_B);
  policy.insert("b", 200_B);
  policy.resize("a", 150_B);
  policy.touch("b");
  EXPECT_EQ(policy.size(), 350_B);
  policy.erase("b");
  policy.erase("b");
  EXPECT_EQ(policy.size(), 150_B);
  EXPECT_EQ(policy.count(), 1U);
}

TEST(WTinyLfu, NeverNamesWhatMayNotGo) {
  Random random(8);
  WTinyLfu policy(300_B);
  std::set<std::string> pinned;
  for (int i = 0; i < 300; ++i) {
    std::string name = std::to_string(i);
    policy.insert(name, 1_B);
    if (random.below(2) == 0) pinned.insert(name);
    if (random.below(2) == 0) policy.touch(name);
  }
  while (auto victim = policy.victim([&](const std::string& name) { return !pinned.contains(name); })) {
    ASSERT_FALSE(pinned.contains(*victim));
    policy.erase(*victim);
  }
  EXPECT_EQ(policy.count(), pinned.size());
}

TEST(FrequencySketch, NeverCountsTooLow) {
  FrequencySketch sketch(4096);
  for (int i = 0; i < 1000; ++i) {
    for (int times = 0; times <= i % 5; ++times) sketch.add(mix_bits(static_cast<uint64_t>(i)));
  }
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) {
    int estimate = sketch.estimate(mix_bits(static_cast<uint64_t>(i)));
    EXPECT_GE(estimate, 1 + i % 5);
    wrong += estimate != 1 + i % 5 ? 1 : 0;
  }
  EXPECT_LT(wrong, 50);
}

}  // namespace
}  // namespace skep::cache
