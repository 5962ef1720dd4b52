#pragma once
// How long steps take beside what steps of their size usually take: 1 as usual, 2 twice as long. What is usual is
// learned while running, for sizes by powers of two: what is faster is believed soon, what is slower late, so that a
// busy hour does not become the rule, and longer contexts do.

#include <array>

#include "base/clock.h"

namespace skep::engine {

class StepPace {
 public:
  static constexpr double kFaster = 0.2;    // weight of a step that was faster than usual
  static constexpr double kSlower = 0.002;  // … that was slower

  void record(int tokens, Duration took);  // tokens > 0
  // Of the steps since the last call, each by its usual time; 0: there were none.
  double take();

 private:
  static constexpr size_t kSizes = 14;     // 1, 2 … 3, 4 … 7, and the last: 8192 and more
  std::array<double, kSizes> usual_ = {};  // seconds per token; 0: none seen
  double took_ = 0, expected_ = 0;         // seconds since take()
};

}  // namespace skep::engine
