#pragma once
// Who is in which cell, and which cells lie in each cell's disk: the neighbour graph, kept implicitly. An agent that
// moves costs two short lists' edits, whatever its number of neighbours.
//
// A cell holds any number of agents, but a crowd must not make the graph quadratic. A cell's agents stand on floors of
// `floor_size`, and agents are neighbours only on the same floor: symmetric, and at most floor_size per cell of the
// disk.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "coalition/grid.h"
#include "coalition/large_array.h"
#include "kernel/thread_pool.h"

namespace skep::coalition {

class CellIndex {
 public:
  static constexpr uint32_t floor_size = 32;
  static constexpr uint32_t no_cell = UINT32_MAX;

  explicit CellIndex(Grid grid);
  ~CellIndex();
  CellIndex(CellIndex&&) noexcept;
  CellIndex& operator=(CellIndex&&) noexcept;

  // Starts over with agents 0, 1, … in the cells `keys`, which ascend.
  void rebuild(std::span<const CellKey> keys, kernel::ThreadPool& pool);
  // The cell's number, no_cell where none has ever held an agent.
  [[nodiscard]] uint32_t find(CellKey key) const;
  // The agent is now in `key`'s cell. `cell`: what find(key) gave, at any time since the rebuild.
  void move(uint32_t agent, CellKey key, uint32_t cell);
  // Brings closer what a move of the agent to the cell will read.
  void prefetch(uint32_t agent, uint32_t cell) const;

  [[nodiscard]] const Grid& grid() const { return grid_; }
  [[nodiscard]] size_t agents() const { return cell_of_.size(); }
  [[nodiscard]] size_t cells() const { return cells_.size(); }
  [[nodiscard]] uint32_t cell_of(uint32_t agent) const { return cell_of_[agent]; }
  [[nodiscard]] CellKey key(uint32_t cell) const { return cells_[cell].key; }
  [[nodiscard]] std::span<const uint32_t> members(uint32_t cell) const {
    return {members_.data() + cells_[cell].first, cells_[cell].count};
  }
  // The cells around `cell` that have ever held an agent; no_cell in between.
  [[nodiscard]] std::span<const uint32_t> disk(uint32_t cell) const {
    return {disks_.data() + size_t{cell} * disk_size_, disk_size_};
  }
  // A bound on the number of neighbours of the agents of `cell`.
  [[nodiscard]] size_t most_neighbours(uint32_t cell) const;
  // About how many neighbours an agent has, from some hundreds of cells.
  [[nodiscard]] size_t mean_neighbours() const;
  [[nodiscard]] size_t most_neighbours() const { return (disk_size_ + 1) * floor_size; }

  // Writes the neighbours of `agent` to `out` (most_neighbours() long, no allocation) and returns how many there are.
  size_t neighbours(uint32_t agent, uint32_t* out) const;

 private:
  struct Cell {
    CellKey key = 0;
    uint32_t first = 0;  // into members_
    uint32_t count = 0;
    uint32_t capacity = 0;
  };
  struct Keys;  // from key to number

  uint32_t find_or_add(CellKey key);
  void find_disk(uint32_t cell);

  Grid grid_;
  size_t disk_size_;
  LargeArray<Cell> cells_;
  LargeArray<uint32_t> members_;  // each cell's agents, with room to grow
  LargeArray<uint32_t> disks_;    // disk_size_ numbers per cell
  LargeArray<uint32_t> cell_of_;  // by agent
  std::unique_ptr<Keys> keys_;
};

}  // namespace skep::coalition
