#include "coalition/cell_index.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cassert>

#include "base/random.h"

namespace skep::coalition {
namespace {

constexpr size_t largest_disk = 4 * Grid::max_rings * (Grid::max_rings + 1);
// Cells whose disks one thread finds at a time; each takes about 0.2 µs.
constexpr size_t block_of(size_t cells) { return std::clamp<size_t>(cells / 8, 32, 2048); }

// A list's room: some agents may arrive before it moves to a larger place.
constexpr uint32_t least_room = 4;
constexpr uint32_t room(uint32_t count) { return (count + least_room) / least_room * least_room; }

struct KeyHash {
  using is_avalanching = void;  // Boost need not mix again
  size_t operator()(CellKey key) const { return mix_bits(key); }
};

}  // namespace

struct CellIndex::Keys {
  boost::unordered_flat_map<CellKey, uint32_t, KeyHash> number;
};

CellIndex::CellIndex(Grid grid) : grid_(grid), disk_size_(grid.disk_size()), keys_(std::make_unique<Keys>()) {}
CellIndex::~CellIndex() = default;
CellIndex::CellIndex(CellIndex&&) noexcept = default;
CellIndex& CellIndex::operator=(CellIndex&&) noexcept = default;

void CellIndex::rebuild(std::span<const CellKey> keys, kernel::ThreadPool& pool) {
  assert(std::is_sorted(keys.begin(), keys.end()));
  cells_.clear();
  members_.clear();
  keys_->number.clear();
  cell_of_.resize(keys.size());
  for (uint32_t agent = 0; agent < keys.size();) {
    const auto number = static_cast<uint32_t>(cells_.size());
    const auto first = static_cast<uint32_t>(members_.size());
    const uint32_t begin = agent;
    for (; agent < keys.size() && keys[agent] == keys[begin]; ++agent) {
      members_.push_back(agent);
      cell_of_[agent] = number;
    }
    const uint32_t count = agent - begin;
    members_.resize(first + room(count));
    cells_.push_back({keys[begin], first, count, room(count)});
  }
  keys_->number.reserve(cells_.size());
  for (uint32_t cell = 0; cell < cells_.size(); ++cell) keys_->number.emplace(cells_[cell].key, cell);
  disks_.resize(cells_.size() * disk_size_);
  const size_t size = block_of(cells_.size());
  const auto blocks = static_cast<uint32_t>((cells_.size() + size - 1) / size);
  pool.run(blocks, [&](uint32_t block, uint32_t) {
    const size_t end = std::min(cells_.size(), (block + 1) * size);
    for (size_t cell = block * size; cell < end; ++cell) find_disk(static_cast<uint32_t>(cell));
  });
}

// Fills the cell's part of disks_ from the keys that are known.
void CellIndex::find_disk(uint32_t cell) {
  std::array<CellKey, largest_disk> around;
  grid_.disk(cells_[cell].key, {around.data(), disk_size_});
  for (size_t i = 0; i < disk_size_; ++i) {
    const auto found = around[i] == 0 ? keys_->number.end() : keys_->number.find(around[i]);
    disks_[cell * disk_size_ + i] = found == keys_->number.end() ? no_cell : found->second;
  }
}

uint32_t CellIndex::find_or_add(CellKey key) {
  const auto [at, added] = keys_->number.try_emplace(key, static_cast<uint32_t>(cells_.size()));
  const uint32_t cell = at->second;
  if (!added) return cell;
  cells_.push_back({key, static_cast<uint32_t>(members_.size()), 0, room(0)});
  members_.resize(members_.size() + room(0));
  disks_.resize(disks_.size() + disk_size_);
  find_disk(cell);
  for (size_t i = 0; i < disk_size_; ++i) {  // the relation is symmetric: there is a free place in each of those
    const uint32_t other = disks_[cell * disk_size_ + i];
    if (other == no_cell) continue;
    const auto theirs = std::span(disks_).subspan(other * disk_size_, disk_size_);
    const auto place = std::find(theirs.begin(), theirs.end(), no_cell);
    assert(place != theirs.end());
    *place = cell;
  }
  return cell;
}

uint32_t CellIndex::find(CellKey key) const {
  const auto found = keys_->number.find(key);
  return found == keys_->number.end() ? no_cell : found->second;
}

void CellIndex::prefetch(uint32_t agent, uint32_t cell) const {
  const uint32_t from = cell_of_[agent];
  hwy::Prefetch(&cells_[from]);
  hwy::Prefetch(&members_[cells_[from].first]);
  if (cell != no_cell) hwy::Prefetch(&cells_[cell]);
}

void CellIndex::move(uint32_t agent, CellKey key, uint32_t cell) {
  assert(key != 0);
  assert(cell == no_cell || cells_[cell].key == key);
  Cell& from = cells_[cell_of_[agent]];
  if (from.key == key) return;
  const auto list = std::span(members_).subspan(from.first, from.count);
  const auto at = std::find(list.begin(), list.end(), agent);
  assert(at != list.end());
  *at = list.back();
  --from.count;

  const uint32_t number = cell != no_cell ? cell : find_or_add(key);  // may move cells_: `from` is not used after this
  Cell& to = cells_[number];
  if (to.count == to.capacity) {  // to a larger place at the end; the old one is dead until the next rebuild
    const uint32_t capacity = 2 * to.capacity;
    const auto first = static_cast<uint32_t>(members_.size());
    members_.resize(members_.size() + capacity);
    std::copy_n(members_.begin() + to.first, to.count, members_.begin() + first);
    to.first = first;
    to.capacity = capacity;
  }
  members_[to.first + to.count++] = agent;
  cell_of_[agent] = number;
}

size_t CellIndex::most_neighbours(uint32_t cell) const {
  size_t most = std::min(cells_[cell].count, floor_size);
  for (const uint32_t other : disk(cell))
    if (other != no_cell) most += std::min(cells_[other].count, floor_size);
  return most;
}

size_t CellIndex::mean_neighbours() const {
  constexpr size_t looked_at = 512;
  const size_t step = cells_.size() / looked_at + 1;
  size_t agents = 0, links = 0;
  for (uint32_t cell = 0; cell < cells_.size(); cell += static_cast<uint32_t>(step)) {
    const size_t count = cells_[cell].count;
    if (count == 0) continue;
    agents += count;
    links += count * (most_neighbours(cell) - 1);
  }
  return agents == 0 ? 0 : links / agents;
}

size_t CellIndex::neighbours(uint32_t agent, uint32_t* out) const {
  const uint32_t cell = cell_of_[agent];
  const std::span<const uint32_t> mates = members(cell);
  size_t found = 0, floor = 0;
  if (mates.size() > floor_size)
    floor = static_cast<size_t>(std::find(mates.begin(), mates.end(), agent) - mates.begin()) / floor_size * floor_size;
  const auto take = [&](uint32_t number) {
    const Cell& of = cells_[number];
    if (of.count <= least_room && floor == 0) {
      // Most cells: how many are there is as good as random, so all places are copied, whoever stands there.
      std::copy_n(members_.data() + of.first, least_room, out + found);
      found += of.count;
      return;
    }
    const size_t end = std::min<size_t>(of.count, floor + floor_size);
    for (size_t i = floor; i < end; ++i) out[found++] = members_[of.first + i];
  };
  take(cell);
  size_t own = 0;
  for (size_t i = 0; i < found; ++i) own = out[i] == agent ? i : own;
  out[own] = out[--found];
  for (const uint32_t other : disk(cell))
    if (other != no_cell) take(other);
  return found;
}

}  // namespace skep::coalition
