#include "engine/step_pace.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace skep::engine {

void StepPace::record(int tokens, Duration took) {
  assert(tokens > 0);
  if (took <= Duration::zero()) return;
  const auto size = static_cast<size_t>(std::bit_width(static_cast<unsigned>(tokens)) - 1);
  double& usual = usual_[std::min(size, kSizes - 1)];
  const double per_token = seconds(took) / tokens;
  if (usual <= 0) usual = per_token;
  took_ += seconds(took);
  expected_ += usual * tokens;
  usual += (per_token < usual ? kFaster : kSlower) * (per_token - usual);
}

double StepPace::take() {
  const double pace = expected_ > 0 ? took_ / expected_ : 0;
  took_ = expected_ = 0;
  return pace;
}

}  // namespace skep::engine
