#include "coalition/formation.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <numeric>
#include <utility>

#include "coalition/formation_impl.h"
#include "coalition/radix_sort.h"

namespace skep::coalition {
namespace {

constexpr size_t small_component = 24;   // agents; those are worth many kicks, as few as they are
constexpr uint64_t kicks_per_agent = 4;  // in a small component

}  // namespace

Formation::Formation(Grid grid, ValueFunction value, FormationOptions options)
    : impl_(std::make_unique<Impl>(grid, std::move(value), options)) {}
Formation::~Formation() = default;
Formation::Formation(Formation&&) noexcept = default;
Formation& Formation::operator=(Formation&&) noexcept = default;

// Finds the agents' cells and numbers the agents in the cells' order.
Status Formation::Impl::order(std::span<const Position> positions) {
  const size_t agents = positions.size();
  constexpr size_t block = 64;
  keyed.resize(agents);
  pool->run(static_cast<uint32_t>((agents + block - 1) / block), [&](uint32_t number, uint32_t) {
    const size_t begin = number * block, end = std::min(agents, begin + block);
    std::array<CellKey, block> cells_of_block;
    grid.cells(positions.subspan(begin, end - begin), {cells_of_block.data(), end - begin});
    for (size_t i = begin; i < end; ++i) keyed[i] = {cells_of_block[i - begin], static_cast<Agent>(i)};
  });
  for (const auto& [key, agent] : keyed)
    if (key == 0)
      return fail(ErrorCode::invalid_argument,
                  fmt::format("agent {}: ({}, {}) is no position", agent, positions[agent].x, positions[agent].y));
  radix_sort(keyed, scratch);
  ids.resize(agents);
  ranks.resize(agents);
  keys.resize(agents);
  for (Rank rank = 0; rank < agents; ++rank) {
    keys[rank] = keyed[rank].first;
    ids[rank] = keyed[rank].second;
    ranks[ids[rank]] = rank;
  }
  return {};
}

Status Formation::rebuild(std::span<const Position> positions) {
  Impl& self = *impl_;
  if (positions.size() > most_agents)
    return fail(ErrorCode::too_large, fmt::format("{} agents are more than {}", positions.size(), most_agents));
  SKEP_CHECK(self.order(positions));
  self.cells.rebuild(self.keys, *self.pool);
  self.links.rebuild(self.cells, self.value.synergy.get(), self.ids, *self.pool);
  self.state.reset(self.links, self.value, self.ids);
  self.random = Random(self.options.seed);
  self.form();
  return {};
}

void Formation::Impl::form() {
  const size_t agents = ids.size(), size = block_size(agents), blocks = (agents + size - 1) / size;
  std::vector<std::vector<Rank>> seams(blocks);
  pool->run(static_cast<uint32_t>(blocks), [&](uint32_t block, uint32_t worker) {
    const auto begin = static_cast<Rank>(block * size), end = static_cast<Rank>(std::min(agents, (block + 1) * size));
    LocalSearch& search = searches[worker];
    search.begin(state, begin, end, evaluations_per_agent * (end - begin) * (value.set == nullptr ? 1 : 16));
    search.form();
    for (Rank agent = begin; agent < end && blocks > 1; ++agent)
      for (const Link& link : links.row(agent))
        if (link.to < begin || link.to >= end) {
          seams[block].push_back(agent);
          break;
        }
  });
  if (blocks > 1) search_seams(seams);
  search_small_components();
  std::vector<double> totals(blocks);
  pool->run(static_cast<uint32_t>(blocks), [&](uint32_t block, uint32_t) {
    totals[block] =
        state.total(static_cast<Coalition>(block * size), static_cast<Coalition>(std::min(agents, (block + 1) * size)));
  });
  total = std::accumulate(totals.begin(), totals.end(), 0.0);
}

// Goes on where blocks meet: there agents have not yet seen all of their neighbours.
void Formation::Impl::search_seams(std::span<const std::vector<Rank>> seams) {
  std::vector<Rank> along;
  for (const std::vector<Rank>& seam : seams) along.insert(along.end(), seam.begin(), seam.end());
  LocalSearch& search = searches[0];
  search.begin(state, 0, static_cast<Rank>(ids.size()), evaluations_per_agent * along.size());
  for (const Rank agent : along) search.wake(agent);
  search.descend();
  const std::vector<Rank> news(search.touched().begin(), search.touched().end());
  search.merge_around(news);
  search.descend();
  along.insert(along.end(), search.touched().begin(), search.touched().end());
  search.settle(along);
}

// The component that `start` is the first of, if it has at most small_component agents; else nothing.
void Formation::Impl::small_component_of(Rank start, std::vector<Rank>& component) const {
  component.clear();
  for (const Link& link : links.row(start))
    if (link.to < start) return;  // most agents
  component.push_back(start);
  for (size_t i = 0; i < component.size(); ++i)
    for (const Link& link : links.row(component[i])) {
      if (std::find(component.begin(), component.end(), link.to) != component.end()) continue;
      component.push_back(link.to);
      if (link.to < start || component.size() > small_component) {
        component.clear();
        return;
      }
    }
}

// Components of a few agents are searched by kicks, which finds the best partition nearly always.
void Formation::Impl::search_small_components() {
  const size_t agents = ids.size(), size = block_size(agents), blocks = (agents + size - 1) / size;
  std::vector<std::vector<Rank>> firsts(blocks);
  pool->run(static_cast<uint32_t>(blocks), [&](uint32_t block, uint32_t) {
    std::vector<Rank> component;
    for (size_t rank = block * size; rank < std::min(agents, (block + 1) * size); ++rank) {
      if (links.row(static_cast<Rank>(rank)).size() >= small_component) continue;
      small_component_of(static_cast<Rank>(rank), component);
      // Of two, local moves leave nothing to find.
      if (component.size() >= 3) firsts[block].push_back(static_cast<Rank>(rank));
    }
  });
  LocalSearch& search = searches[0];
  search.begin(state, 0, static_cast<Rank>(agents), 4 * uint64_t{agents} + 50'000);
  std::vector<Rank> component;
  for (const std::vector<Rank>& some : firsts)
    for (const Rank start : some) {
      small_component_of(start, component);
      const uint64_t kicks = kicks_per_agent * component.size();
      for (uint64_t i = 0; i < kicks && search.effort_left() > 0; ++i)
        search.kick(component[random.below(static_cast<uint32_t>(component.size()))], random);
      search.settle(component);
      search.clear_touched();
    }
}

size_t Formation::agents() const { return impl_->ids.size(); }
double Formation::value() const { return impl_->total; }
double Formation::value(uint32_t coalition) const { return impl_->state.value(coalition); }

uint32_t Formation::coalition_of(Agent agent) const { return impl_->state.partition.of(impl_->ranks[agent]); }

std::vector<Agent> Formation::members(uint32_t coalition) const {
  std::vector<Agent> result;
  impl_->state.partition.members(coalition, result);
  for (Agent& member : result) member = impl_->ids[member];
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<uint32_t> Formation::coalitions() const {
  const Partition& partition = impl_->state.partition;
  std::vector<uint32_t> result;
  std::vector<uint8_t> listed(partition.agents(), 0);
  for (Rank agent = 0; agent < partition.agents(); ++agent)
    if (std::exchange(listed[partition.of(agent)], uint8_t{1}) == 0) result.push_back(partition.of(agent));
  return result;
}

std::vector<Formation::Neighbour> Formation::neighbours(Agent agent) const {
  std::vector<Neighbour> result;
  for (const Link& link : impl_->links.row(impl_->ranks[agent])) result.push_back({impl_->ids[link.to], link.weight});
  return result;
}

double Formation::gain_of_leaving(Agent agent) const {
  const Rank rank = impl_->ranks[agent];
  if (impl_->state.partition.size(impl_->state.partition.of(rank)) == 1) return 0;
  return impl_->searches[0].gain_of_leaving(rank);
}

std::vector<double> Formation::payoffs(uint32_t coalition, const ShapleyOptions& options) const {
  const std::vector<Agent> all = members(coalition);
  // Members by their place in `all`, and a table of the links between them.
  const size_t size = all.size();
  std::vector<double> weight(size * size, 0);
  for (size_t i = 0; i < size; ++i)
    for (const Link& link : impl_->links.row(impl_->ranks[all[i]])) {
      const auto at = std::lower_bound(all.begin(), all.end(), impl_->ids[link.to]);
      if (at != all.end() && *at == impl_->ids[link.to])
        weight[i * size + static_cast<size_t>(at - all.begin())] = link.weight;
    }
  std::vector<Agent> names;
  const Worth worth = [&](std::span<const Agent> places) {
    double sum = -impl_->state.cost[places.size()];
    for (size_t i = 1; i < places.size(); ++i)
      for (size_t j = 0; j < i; ++j) sum += weight[places[i] * size + places[j]];
    if (impl_->value.set == nullptr) return sum;
    names.clear();
    for (const Agent place : places) names.push_back(all[place]);
    return sum + impl_->value.set->value(names);
  };
  std::vector<Agent> places(size);
  std::iota(places.begin(), places.end(), 0);
  std::vector<double> alone;
  for (const Agent& place : places) alone.push_back(worth({&place, 1}));
  return imputation(shapley(places, worth, options), alone);
}

}  // namespace skep::coalition
