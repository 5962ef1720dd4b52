#pragma once
// How many threads a step runs on while other processes want the cores too: a pure decision, once a second.
//
// A step's threads meet at barriers, so it is as slow as the one that waits for a core: with another process on one of
// two cores, two threads are slower than one. When ours stood in the run queue for a good part of a second, one thread
// less is used; when a core stood idle for a while, one more. A change that had to be taken back soon makes the next
// one of its kind wait twice as long, so that a load at the edge does not make us swing.

#include <optional>
#include <string>

namespace skep::engine {

// What was seen over an interval.
struct CpuSample {
  double waited = 0;      // of the time that our threads wanted to run, the share that they stood in the queue: 0..1
  double idle_cores = 0;  // on the whole machine
  bool stepping = false;  // we computed for most of the interval; else it says nothing about us
};

class ThreadPolicy {
 public:
  static constexpr double kCrowded = 0.15;     // waited
  static constexpr double kRoom = 0.7;         // idle cores that another thread needs
  static constexpr int kCrowdedIntervals = 2;  // in a row
  static constexpr int kRoomIntervals = 5;     // likewise; doubles after each increase that was taken back
  static constexpr int kMostRoomIntervals = 80;

  explicit ThreadPolicy(int most) : most_(most), threads_(most) {}

  struct Change {
    int threads;
    std::string why;
  };
  std::optional<Change> observe(const CpuSample& sample);

  [[nodiscard]] int threads() const { return threads_; }

 private:
  int most_;
  int threads_;
  int crowded_ = 0;
  int room_ = 0;
  int room_wanted_ = kRoomIntervals;
  int since_increase_ = 1 << 20;  // intervals
};

// The cores that this process may use.
int available_cores();

}  // namespace skep::engine
