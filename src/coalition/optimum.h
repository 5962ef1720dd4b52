#pragma once
// The exact best partition of a few agents, by dynamic programming over subsets (Yeh, 1986): the oracle against which
// formation is measured. O(3^n) time, 12 bytes × 2^n.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "coalition/links.h"
#include "coalition/value.h"

namespace skep::coalition {

struct Optimum {
  double value = 0;
  std::vector<uint32_t> coalitions;  // one mask of agents each
};

// v of each set of agents, indexed by mask; value_of[0] is 0. At most 20 agents: invalid_argument beyond.
Result<Optimum> optimum(std::span<const double> value_of);

// The table of v for agents 0 to n − 1 whose synergy is given by edges.
Result<std::vector<double>> value_table(size_t agents, std::span<const Links::Edge> edges, const SetValue* set,
                                        const CoordinationCost& cost);

}  // namespace skep::coalition
