#pragma once
// How many threads a step runs on while other processes want the cores too: a pure decision, once a second.
//
// libllama's threads meet at barriers, so a step is as slow as the one that waits for a core: with another process on
// one of two cores, two threads are slower than one. When ours stood in the run queue for a good part of a second, one
// thread less is used; when a core stood idle for a while, one more. Our own forward pass hands a late thread's work to
// the others, and knows what is lost nevertheless: a thread less pays only where that is more than its share.
//
// Steps tell whether a thread less was right: where they take longer by a tenth, it comes back. A change that had to be
// taken back makes the next one of its kind wait twice as long, so that a load at the edge does not make us swing.

#include <optional>
#include <string>

namespace skep::engine {

// What was seen over an interval.
struct CpuSample {
  double waited = 0;      // of the time that our threads wanted to run, the share that they stood in the queue: 0..1
  double idle_cores = 0;  // on the whole machine
  bool stepping = false;  // we computed for most of the interval; else it says nothing about us
  // Of the steps' time, the share that was lost in waiting for threads whose core was taken, where the forward pass
  // knows.
  std::optional<double> stalled = std::nullopt;
  double pressure = 0;  // share of the interval in which somebody on the machine waited for a core (PSI): 0..1
  double pace = 0;      // how long steps took beside what they usually do (step_pace.h); 0: not known
};

class ThreadPolicy {
 public:
  static constexpr double kCrowded = 0.15;     // waited
  static constexpr double kRoom = 0.7;         // idle cores that another thread needs
  static constexpr int kCrowdedIntervals = 2;  // in a row
  static constexpr int kRoomIntervals = 5;     // likewise; doubles after each increase that was taken back
  static constexpr int kMostRoomIntervals = 80;
  static constexpr double kSlower = 1.1;     // pace with a thread less, beside that before
  static constexpr int kTrialIntervals = 3;  // until that is judged
  static constexpr int kMostCrowdedIntervals = 128;

  explicit ThreadPolicy(int most) : most_(most), threads_(most) {}

  struct Change {
    int threads;
    std::string why;
  };
  std::optional<Change> observe(const CpuSample& sample);

  [[nodiscard]] int threads() const { return threads_; }

 private:
  std::optional<Change> judge(const CpuSample& sample);
  Change take_one_away(const CpuSample& sample);

  int most_;
  int threads_;
  int crowded_ = 0;
  int room_ = 0;
  int room_wanted_ = kRoomIntervals;
  int crowded_wanted_ = kCrowdedIntervals;
  int since_increase_ = 1 << 20;  // intervals
  double crowded_pace_ = 0;       // sum over the crowded intervals
  // A thread less is on trial: intervals left, the pace before, the sum of it since.
  int trial_ = 0;
  double pace_before_ = 0, trial_pace_ = 0;
};

// The cores that this process may use.
int available_cores();

}  // namespace skep::engine
