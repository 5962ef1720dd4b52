#pragma once
// How the members of a coalition share its value: Shapley values by sampling orders of arrival (Castro, Gómez and
// Tejada, 2009), and shares that keep every member in, the nearest imputation to them.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "coalition/value.h"

namespace skep::coalition {

// v of some of the members.
using Worth = std::function<double(std::span<const Agent>)>;

struct ShapleyOptions {
  uint32_t samples = 256;  // orders, each also walked backwards; the error falls with the root of it
  uint64_t seed = 1;
};

// One value per member, in their order; they add up to worth(members) to rounding, whatever the number of samples.
std::vector<double> shapley(std::span<const Agent> members, const Worth& worth, const ShapleyOptions& options = {});

// The shares nearest to `values` (least squares) that add up to the same and give nobody less than its floor, what it
// is worth alone. The floors must not add up to more than the values.
std::vector<double> imputation(std::span<const double> values, std::span<const double> floors);

}  // namespace skep::coalition
