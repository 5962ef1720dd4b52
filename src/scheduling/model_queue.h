#pragma once
// The waiting tasks of one model, in the order of scheduler.h: critical, aged, then by class, each class with its
// deadlines at risk first and its agents sharing fairly. It only orders; when a task changes its place is the
// scheduler's business. Every operation is O(log n).

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/clock.h"
#include "scheduling/fair_queue.h"
#include "scheduling/priority.h"

namespace skep::scheduling {

// Where a waiting task stands.
struct Place {
  int rank = 0;          // the class it has risen to: 0 critical … 3 background
  bool aged = false;     // waited starvation_limit
  bool at_risk = false;  // its deadline is close
  friend bool operator==(const Place&, const Place&) = default;
};

// What a place in the queue needs to know of a task.
struct Waiting {
  uint64_t id = 0;
  std::string flow;  // who shares: the agent, or the caller
  double weight = 1;
  TimePoint submitted{};
  TimePoint deadline = TimePoint::max();
  Place place;
};

// What comes first of a queue. Smaller is more urgent, also between queues.
struct Head {
  enum class Band { aged_due, critical, aged, high, normal, background };
  Band band = Band::background;
  TimePoint submitted{};
  uint64_t id = 0;
  friend auto operator<=>(const Head&, const Head&) = default;
};

class ModelQueue {
 public:
  void insert(const Waiting& task);
  void remove(const Waiting& task);
  void serve(const Waiting& task, double cost);   // removes it and charges its flow
  void charge(const Waiting& task, double cost);  // a correction after it was served
  [[nodiscard]] int size() const { return size_; }

  // `aged_due`: critical tasks have had their burst, an aged one is next.
  [[nodiscard]] std::optional<Head> head(bool aged_due) const;

  [[nodiscard]] bool has_aged() const { return !aged_[1].empty(); }  // other than critical
  [[nodiscard]] int critical() const { return static_cast<int>(by_age_[0].size()); }
  [[nodiscard]] bool has_risk() const { return risks_ > 0; }
  [[nodiscard]] std::optional<TimePoint> oldest(int rank) const;  // its submission

 private:
  using Key = FairQueue::Key;
  void place(const Waiting& task, bool in);

  int size_ = 0, risks_ = 0;
  std::array<std::set<Key>, kPriorities> by_age_;   // all of a rank, by submission
  std::array<std::set<Key>, 2> aged_;               // critical; others
  std::array<std::set<Key>, kPriorities> at_risk_;  // by deadline, not aged
  std::array<FairQueue, kPriorities> fair_;         // neither aged nor at risk
};

}  // namespace skep::scheduling
