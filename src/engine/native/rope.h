#pragma once
// Rotary positions and their scalings, as numbers: pair i of a head turns by position * frequency(i). All scalings
// in use change the frequencies and the length of the result, never the way that a position enters, so they are
// folded in once when a model is loaded.
//
// Formulas: plain, Su et al. 2021 (arXiv:2104.09864), linear, Chen et al. 2023 (arXiv:2306.15595), YaRN, Peng et al.
// 2023 (arXiv:2309.00071), longrope, Ding et al. 2024 (arXiv:2402.13753), llama 3.1: like longrope, one set of factors.

#include <span>
#include <vector>

#include "base/result.h"

namespace skep::engine::native {

// The angle of pair i at position p is p * frequencies[i]; both halves of a pair are scaled by `magnitude`.
struct Rope {
  bool halves = false;  // pairs are (i, i + pairs) instead of (2 i, 2 i + 1)
  std::vector<double> frequencies;
  double magnitude = 1;
};

struct RopeScaling {
  enum class Kind { none, linear, yarn, longrope };
  Kind kind = Kind::none;
  double factor = 1;         // how many times longer than trained the context may be; not of `none`
  int original_context = 0;  // that the model was trained for before it was scaled; yarn and longrope need it
  double magnitude = 1;      // what the model's file asks for on top
};

// For the first `dimensions` elements of a head (even, positive), base > 1.
Rope make_rope(int dimensions, double base, bool halves, const RopeScaling& scaling);

// Divides frequency i by factor i (llama 3.1, longrope). corrupt: another count, or a factor that is not positive.
Status apply_rope_factors(Rope& rope, std::span<const float> factors);

}  // namespace skep::engine::native
