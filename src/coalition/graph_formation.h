#pragma once
// Coalitions on a graph that is given as such, for those who have no positions: small games, tests and measurements.
// The same moves as Formation's, with the kicks that it gives to small components.

#include <cstdint>
#include <span>
#include <vector>

#include "coalition/links.h"
#include "coalition/value.h"

namespace skep::coalition {

struct GraphFormationOptions {
  uint64_t kicks_per_agent = 4;  // 0: one descent to a local optimum, and that is it
  uint64_t seed = 1;
};

struct GraphFormation {
  double value = 0;
  std::vector<uint32_t> coalition_of;  // by agent; equal numbers share a coalition
};

GraphFormation form_on_graph(size_t agents, std::span<const Links::Edge> edges, const ValueFunction& value,
                             const GraphFormationOptions& options = {});

}  // namespace skep::coalition
