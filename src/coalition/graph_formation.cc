#include "coalition/graph_formation.h"

#include <numeric>

#include "coalition/local_search.h"

namespace skep::coalition {
namespace {

constexpr uint64_t evaluations_per_agent = 4096;  // a bound that no game of reasonable size reaches

}  // namespace

GraphFormation form_on_graph(size_t agents, std::span<const Links::Edge> edges, const ValueFunction& value,
                             const GraphFormationOptions& options) {
  Links links;
  links.rebuild(agents, edges);
  std::vector<Agent> ids(agents);
  std::iota(ids.begin(), ids.end(), 0);
  State state;
  state.reset(links, value, ids);
  LocalSearch search;
  search.begin(state, 0, static_cast<Rank>(agents), evaluations_per_agent * agents);
  search.form();
  Random random(options.seed);
  for (uint64_t i = 0; i < options.kicks_per_agent * agents && search.effort_left() > 0; ++i)
    search.kick(random.below(static_cast<uint32_t>(agents)), random);
  search.settle(ids);
  GraphFormation result{state.total(), {}};
  for (const Rank agent : ids) result.coalition_of.push_back(state.partition.of(agent));
  return result;
}

}  // namespace skep::coalition
