#pragma once
// Where agents are, cut into cells: Uber's H3 hexagons on the earth, squares on a plane. Agents are neighbours when
// their cells are at most `rings` cells apart, so a cell's disk is the whole of the neighbour search.

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "coalition/hexagons.h"

namespace skep::coalition {

// On the earth: x is the longitude and y the latitude, in degrees. On a plane: any unit, the cell side's.
struct Position {
  double x = 0;
  double y = 0;
};

// Names a cell. Keys that are close in value lie close in space (H3's hierarchy; Morton order on the plane), which is
// what makes an array sorted by key good to the caches. 0 names no cell.
using CellKey = uint64_t;

class Grid {
 public:
  static constexpr int max_rings = 4;

  // H3 cells of `resolution` 0 to 15 (9: about 0.1 km²). rings in [1, max_rings].
  static Result<Grid> earth(int resolution, int rings = 1);
  // Square cells of `side` > 0; positions up to 2^30 sides from the origin.
  static Result<Grid> plane(double side, int rings = 1);

  // The cell of a position, 0 where the position is none (NaN, infinite, beyond the poles or the plane's edge).
  [[nodiscard]] CellKey cell(Position position) const;
  // The same for many, faster where one is near the one before. `out` is as long as `positions`.
  void cells(std::span<const Position> positions, std::span<CellKey> out) const;

  // How many cells a disk holds besides its centre, at most: 6 hexagons or 8 squares with one ring.
  [[nodiscard]] size_t disk_size() const;
  // The disk around `centre` without the centre: fills `out` (disk_size() long), 0 where there is no cell, as around
  // the twelve pentagons of H3. The relation is symmetric.
  void disk(CellKey centre, std::span<CellKey> out) const;

  // Where the cell's middle lies.
  [[nodiscard]] Position centre(CellKey cell) const;

 private:
  Grid(bool earth, int resolution, double side, int rings)
      : earth_(earth),
        side_(side),
        rings_(rings),
        hexagons_(earth ? std::make_shared<Hexagons>(resolution) : nullptr) {}

  CellKey cell_on_plane(Position position) const;
  CellKey cell_on_earth(Position position, int& face) const;

  bool earth_;
  double side_;
  int rings_;
  std::shared_ptr<const Hexagons> hexagons_;  // of the earth
};

}  // namespace skep::coalition
