#include "scenario/history.h"

namespace skep::scenario {
namespace {

CurvePoint sum(const CurvePoint& a, const CurvePoint& b) {
  return {a.reward + b.reward, a.free_energy + b.free_energy, a.entropy + b.entropy,
          a.coalition_size + b.coalition_size};
}

CurvePoint scaled(const CurvePoint& a, double by) {
  return {a.reward * by, a.free_energy * by, a.entropy * by, a.coalition_size * by};
}

}  // namespace

void History::add(const Frame& frame) {
  ++steps_;
  ++in_bin_;
  for (size_t p = 0; p < curves_.size(); ++p) {
    const PopulationFrame& now = frame.populations[p];
    const CurvePoint point{now.reward, now.free_energy, now.entropy, now.coalition_size};
    sums_[p] = sum(sums_[p], point);
    total_[p] = sum(total_[p], point);
  }
  if (in_bin_ < width_) return;
  for (size_t p = 0; p < curves_.size(); ++p) {
    curves_[p].push_back(scaled(sums_[p], 1.0 / static_cast<double>(width_)));
    sums_[p] = {};
  }
  in_bin_ = 0;
  if (curves_.empty() || curves_[0].size() < most_bins) return;
  for (auto& curve : curves_) {
    for (size_t i = 0; i < most_bins / 2; ++i) curve[i] = scaled(sum(curve[2 * i], curve[2 * i + 1]), 0.5);
    curve.resize(most_bins / 2);
  }
  width_ *= 2;
}

CurvePoint History::mean(size_t population) const {
  return steps_ == 0 ? CurvePoint{} : scaled(total_[population], 1.0 / static_cast<double>(steps_));
}

}  // namespace skep::scenario
