#include "coalition/links.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace skep::coalition {
namespace {

// Agents whose rows one thread fills at a time: a share of a few hundred is worth another thread already.
constexpr size_t block_of(size_t agents) { return std::clamp<size_t>(agents / 8, 64, 2048); }
constexpr size_t links_in_line = 64 / sizeof(Link);
constexpr size_t most = (4 * Grid::max_rings * (Grid::max_rings + 1) + 1) * CellIndex::floor_size;

}  // namespace

// Rows of the mean length and a quarter, for some agents to arrive; of 14 neighbours, one row in a hundred is longer.
void Links::lay_out(size_t agents, size_t links_each) {
  const size_t links = std::min<size_t>(links_each + links_each / 4 + 2, elsewhere - links_in_line);
  room_ = (links + links_in_line - 1) / links_in_line * links_in_line;
  if (rows_.size() < agents * room_) {
    rows_.clear();  // nothing to copy
    rows_.resize(agents * room_);
  }
  counts_.assign(agents, 0);
  long_rows_.clear();
  loose_.assign(agents, 0);
}

void Links::rebuild(const CellIndex& cells, const PairSynergy* synergy, std::span<const Agent> ids,
                    kernel::ThreadPool& pool) {
  assert(ids.size() == cells.agents());
  cells_ = &cells;
  synergy_ = synergy;
  ids_ = ids;
  const size_t agents = ids.size();
  const size_t size = block_of(agents);
  const auto blocks = static_cast<uint32_t>((agents + size - 1) / size);
  lay_out(agents, cells.mean_neighbours());
  std::vector<std::vector<Rank>> too_long(blocks);
  pool.run(blocks, [&](uint32_t block, uint32_t) {
    std::array<Link, most> row;
    const size_t end = std::min(agents, (block + 1) * size);
    for (Rank agent = static_cast<Rank>(block * size); agent < end; ++agent) {
      if (!set(agent, {row.data(), neighbours(agent, row.data())})) too_long[block].push_back(agent);
    }
  });
  std::array<Link, most> row;
  for (const std::vector<Rank>& some : too_long)
    for (const Rank agent : some) set_elsewhere(agent, {row.data(), neighbours(agent, row.data())});
}

void Links::rebuild(size_t agents, std::span<const Edge> edges) {
  cells_ = nullptr;
  lay_out(agents, agents == 0 ? 0 : 2 * edges.size() / agents);
  for (const Edge& edge : edges) {
    assert(edge.a != edge.b && edge.a < agents && edge.b < agents);
    append_elsewhere(edge.a, {edge.b, edge.weight});
    append_elsewhere(edge.b, {edge.a, edge.weight});
  }
}

// Writes the neighbours and weights; `out` has room for most_neighbours of the agent's cell.
uint32_t Links::neighbours(Rank agent, Link* out) const {
  std::array<Rank, most> near;
  const size_t count = cells_->neighbours(agent, near.data());
  if (synergy_ == nullptr) {
    for (size_t i = 0; i < count; ++i) out[i] = {near[i], 0};
  } else {
    std::array<Agent, most> with;
    std::array<float, most> weights;
    for (size_t i = 0; i < count; ++i) with[i] = ids_[near[i]];
    synergy_->weigh(ids_[agent], {with.data(), count}, {weights.data(), count});
    for (size_t i = 0; i < count; ++i) out[i] = {near[i], weights[i]};
  }
  return static_cast<uint32_t>(count);
}

void Links::prefetch(Rank agent) const {
  const Link* const row = place_of(agent);
  hwy::Prefetch(row);
  hwy::Prefetch(row + links_in_line);
}

void Links::prefetch_rows_around(Rank agent) const {
  for (const Link& link : row(agent)) prefetch(link.to);
}

void Links::prefetch_ends_around(Rank agent, const Part& part) const {
  for (const Link& link : row(agent))
    if (part.has(link.to))  // others are edited elsewhere at this moment
      hwy::Prefetch(place_of(link.to) + std::min<size_t>(counts_[link.to], room_ - 1));
}

// False where the row has to be elsewhere and is not yet.
bool Links::set(Rank agent, std::span<const Link> row) {
  if (counts_[agent] == elsewhere) {
    long_rows_[place_of(agent)->to].assign(row.begin(), row.end());
    return true;
  }
  if (row.size() > room_) return false;
  std::copy(row.begin(), row.end(), place_of(agent));
  counts_[agent] = static_cast<uint16_t>(row.size());
  return true;
}

void Links::set_elsewhere(Rank agent, std::span<const Link> row) {
  if (set(agent, row)) return;
  place_of(agent)->to = static_cast<uint32_t>(long_rows_.size());
  counts_[agent] = elsewhere;
  long_rows_.emplace_back(row.begin(), row.end());
}

// False where the row has to go elsewhere first.
bool Links::append(Rank of, const Link& link) {
  const uint16_t count = counts_[of];
  if (count == elsewhere) [[unlikely]] {
    long_rows_[place_of(of)->to].push_back(link);
    return true;
  }
  if (count == room_) return false;
  place_of(of)[count] = link;
  counts_[of] = static_cast<uint16_t>(count + 1);
  return true;
}

void Links::append_elsewhere(Rank of, const Link& link) {
  if (append(of, link)) return;
  const std::span<const Link> old = row(of);
  std::vector<Link> longer(old.begin(), old.end());
  longer.push_back(link);
  set_elsewhere(of, longer);
}

void Links::erase(Rank of, Rank agent) {
  if (counts_[of] == elsewhere) [[unlikely]] {
    std::vector<Link>& row = long_rows_[place_of(of)->to];
    *std::find_if(row.begin(), row.end(), [&](const Link& link) { return link.to == agent; }) = row.back();
    row.pop_back();
    return;
  }
  Link* const row = place_of(of);
  Link* at = row;
  while (at->to != agent) ++at;
  *at = row[--counts_[of]];
}

void Links::loosen(std::span<const Rank> agents) {
  assert(cells_ != nullptr);
  for (const Rank agent : agents) {
    assert(loose_[agent] == 0);
    loose_[agent] = 1;
  }
}

void Links::detach(Rank agent, Part& part) {
  for (const Link& link : row(agent)) {
    if (loose_[link.to] != 0) continue;
    if (part.has(link.to)) {
      erase(link.to, agent);
    } else {
      part.beyond.push_back({link.to, {agent, link.weight}});
    }
  }
}

void Links::finish_detaching(Part& part) {
  for (const Part::Edit& edit : part.beyond) erase(edit.of, edit.link.to);
  part.beyond.clear();
}

void Links::fill(Rank agent, Part& part) {
  part.filled.resize(cells_->most_neighbours());
  const std::span<const Link> row(part.filled.data(), neighbours(agent, part.filled.data()));
  if (set(agent, row)) return;
  part.too_long.emplace_back(agent, std::vector(row.begin(), row.end()));
  counts_[agent] = 0;
  enter(row, agent, part);
}

void Links::attach(Rank agent, Part& part) { enter(row(agent), agent, part); }

void Links::enter(std::span<const Link> row, Rank agent, Part& part) {
  for (const Link& link : row)
    if (loose_[link.to] == 0 && !(part.has(link.to) && append(link.to, {agent, link.weight})))
      part.beyond.push_back({link.to, {agent, link.weight}});
}

void Links::finish_attaching(Part& part) {
  for (const auto& [agent, row] : part.too_long) set_elsewhere(agent, row);
  for (const auto& [of, link] : part.beyond) append_elsewhere(of, link);
  part.too_long.clear();
  part.beyond.clear();
}

void Links::fasten(std::span<const Rank> agents) {
  for (const Rank agent : agents) loose_[agent] = 0;
}

}  // namespace skep::coalition
