#pragma once
// The curves of a run, in bounded memory: per population, means over bins of steps. When the bins are used up, pairs of
// them become one, so a run of any length keeps between 512 and 1,024 points.

#include <cstdint>
#include <vector>

#include "scenario/frame.h"

namespace skep::scenario {

struct CurvePoint {
  double reward = 0;
  double free_energy = 0;
  double entropy = 0;
  double coalition_size = 0;
};

class History {
 public:
  static constexpr size_t most_bins = 1024;  // even

  explicit History(size_t populations) : sums_(populations), curves_(populations), total_(populations) {}
  void add(const Frame& frame);

  [[nodiscard]] size_t populations() const { return curves_.size(); }
  // Means per bin of steps_per_bin() steps, whole bins only.
  [[nodiscard]] const std::vector<CurvePoint>& curve(size_t population) const { return curves_[population]; }
  [[nodiscard]] int64_t steps_per_bin() const { return width_; }
  [[nodiscard]] int64_t steps() const { return steps_; }
  [[nodiscard]] CurvePoint mean(size_t population) const;  // over all steps

 private:
  std::vector<CurvePoint> sums_;                 // of the bin that is not whole yet
  std::vector<std::vector<CurvePoint>> curves_;  // by population
  std::vector<CurvePoint> total_;
  int64_t width_ = 1;
  int64_t in_bin_ = 0;
  int64_t steps_ = 0;
};

}  // namespace skep::scenario
