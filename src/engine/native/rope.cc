#include "engine/native/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace skep::engine::native {
namespace {

// YaRN: pairs that turn more than 32 times within the original context are left alone, those that turn less than once
// are interpolated, and the share goes linearly from one to the other in between.
constexpr double kFastTurns = 32, kSlowTurns = 1;

// The pair (as a real number, counted in elements / 2) that turns so often within the original context.
double pair_with_turns(double turns, int dimensions, double base, int original_context) {
  return dimensions * std::log(original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(base));
}

// How much of pair i keeps its own frequency.
double kept_share(int pair, int dimensions, double base, int original_context) {
  const double first = std::max(0.0, std::floor(pair_with_turns(kFastTurns, dimensions, base, original_context)));
  const double last =
      std::min(dimensions - 1.0, std::ceil(pair_with_turns(kSlowTurns, dimensions, base, original_context)));
  return 1 - std::clamp((pair - first) / std::max(0.001, last - first), 0.0, 1.0);
}

}  // namespace

Rope make_rope(int dimensions, double base, bool halves, const RopeScaling& scaling) {
  using enum RopeScaling::Kind;
  Rope rope;
  rope.halves = halves;
  rope.magnitude = scaling.magnitude;
  if (scaling.kind == yarn && scaling.factor > 1) rope.magnitude *= 1 + 0.1 * std::log(scaling.factor);
  for (int i = 0; i < dimensions / 2; ++i) {
    const double own = std::pow(base, -2.0 * i / dimensions);
    const double kept = scaling.kind == yarn ? kept_share(i, dimensions, base, scaling.original_context) : 0;
    const double factor = scaling.kind == none ? 1 : scaling.factor;
    rope.frequencies.push_back(own / factor * (1 - kept) + own * kept);
  }
  return rope;
}

Status apply_rope_factors(Rope& rope, std::span<const float> factors) {
  if (factors.size() != rope.frequencies.size()) return fail(ErrorCode::corrupt, "rope factors of the wrong number");
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0) || !std::isfinite(factors[i])) {
      return fail(ErrorCode::corrupt, "a rope factor that is not positive");
    }
    rope.frequencies[i] /= static_cast<double>(factors[i]);
  }
  return {};
}

}  // namespace skep::engine::native
