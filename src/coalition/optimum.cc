#include "coalition/optimum.h"

#include <array>
#include <bit>
#include <cassert>

namespace skep::coalition {
namespace {

constexpr size_t most_agents = 20;

}  // namespace

Result<Optimum> optimum(std::span<const double> value_of) {
  if (!std::has_single_bit(value_of.size()) || value_of.size() > (size_t{1} << most_agents))
    return fail(ErrorCode::invalid_argument,
                fmt::format("a table of {} values is not that of at most {} agents", value_of.size(), most_agents));
  // best[S] = max over the T ⊆ S that hold S's lowest agent of v(T) + best[S \ T]: someone is in that agent's
  // coalition, so no partition is looked at twice.
  std::vector<double> best(value_of.size(), 0);
  std::vector<uint32_t> first(value_of.size(), 0);
  for (uint32_t set = 1; set < value_of.size(); ++set) {
    const uint32_t lowest = set & (~set + 1), rest = set ^ lowest;
    double most = value_of[lowest] + best[rest];
    uint32_t choice = lowest;
    for (uint32_t others = rest; others != 0; others = (others - 1) & rest) {
      const double value = value_of[others | lowest] + best[rest ^ others];
      if (value > most) {
        most = value;
        choice = others | lowest;
      }
    }
    best[set] = most;
    first[set] = choice;
  }
  Optimum result{best.back(), {}};
  for (auto left = static_cast<uint32_t>(value_of.size() - 1); left != 0; left ^= first[left])
    result.coalitions.push_back(first[left]);
  return result;
}

Result<std::vector<double>> value_table(size_t agents, std::span<const Links::Edge> edges, const SetValue* set,
                                        const CoordinationCost& cost) {
  if (agents > most_agents)
    return fail(ErrorCode::invalid_argument, fmt::format("{} agents are too many: at most {}", agents, most_agents));
  std::array<std::array<double, most_agents>, most_agents> weight{};
  for (const Links::Edge& edge : edges) {
    assert(edge.a < agents && edge.b < agents);
    weight[edge.a][edge.b] = weight[edge.b][edge.a] = edge.weight;
  }
  std::vector<double> links(size_t{1} << agents, 0), values(links.size(), 0);
  std::vector<Agent> members;
  for (uint32_t mask = 1; mask < links.size(); ++mask) {
    const auto lowest = static_cast<size_t>(std::countr_zero(mask));
    const uint32_t rest = mask & (mask - 1);
    links[mask] = links[rest];
    members.assign(1, static_cast<Agent>(lowest));
    for (uint32_t left = rest; left != 0; left &= left - 1) {
      const auto other = static_cast<size_t>(std::countr_zero(left));
      links[mask] += weight[lowest][other];
      members.push_back(static_cast<Agent>(other));
    }
    values[mask] = links[mask] - cost.of(members.size()) + (set == nullptr ? 0 : set->value(members));
  }
  return values;
}

}  // namespace skep::coalition
