#pragma once
// Which type each tensor gets so that a model fits a number of bytes with the least harm. Pure policy; the errors are
// measured by quantize_error.h.
//
// Minimising Σ error(tensor, type) under Σ bytes ≤ budget is a multiple-choice knapsack. Per tensor only the types on
// the lower convex hull of (bytes, error) are of use; walking all hulls by falling error saved per byte gives the
// optimum of the relaxed problem at every step, so what is found is away from the true optimum by less than one step
// of one tensor (Sinha and Zoltners, 1979). What is left over is then given to steps that still fit.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/units.h"

namespace skep::model_tools {

struct TypeChoice {
  uint32_t type = 0;
  Bytes bytes;
  double error = 0;
};

// The index of the choice for each tensor; nullopt when even the smallest choices exceed the budget. Every tensor has
// at least one choice, in any order.
std::optional<std::vector<size_t>> choose_mix(const std::vector<std::vector<TypeChoice>>& tensors, Bytes budget);

// What choose_mix() can't go below.
Bytes smallest_mix(const std::vector<std::vector<TypeChoice>>& tensors);

}  // namespace skep::model_tools
