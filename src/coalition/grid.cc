#include "coalition/grid.h"

#include <h3/h3api.h>

#include <array>
#include <cassert>
#include <cmath>

namespace skep::coalition {
namespace {

constexpr double plane_edge = 1 << 30;  // in cell sides
constexpr size_t largest_disk = 3 * Grid::max_rings * (Grid::max_rings + 1) + 1;

// Morton order: the bits of two 32-bit numbers interleaved, x in the even places.
uint64_t spread(uint32_t v) {
  uint64_t x = v;
  x = (x | (x << 16)) & 0x0000ffff0000ffffULL;
  x = (x | (x << 8)) & 0x00ff00ff00ff00ffULL;
  x = (x | (x << 4)) & 0x0f0f0f0f0f0f0f0fULL;
  x = (x | (x << 2)) & 0x3333333333333333ULL;
  return (x | (x << 1)) & 0x5555555555555555ULL;
}

uint32_t gather(uint64_t x) {
  x &= 0x5555555555555555ULL;
  x = (x | (x >> 1)) & 0x3333333333333333ULL;
  x = (x | (x >> 2)) & 0x0f0f0f0f0f0f0f0fULL;
  x = (x | (x >> 4)) & 0x00ff00ff00ff00ffULL;
  x = (x | (x >> 8)) & 0x0000ffff0000ffffULL;
  return static_cast<uint32_t>(x | (x >> 16));
}

// Offset so that the origin's cell is not 0 and every coordinate is positive.
constexpr int64_t offset = 1LL << 31;
CellKey plane_key(int64_t column, int64_t row) {
  return spread(static_cast<uint32_t>(column + offset)) | (spread(static_cast<uint32_t>(row + offset)) << 1);
}

}  // namespace

Result<Grid> Grid::earth(int resolution, int rings) {
  if (resolution < 0 || resolution > 15)
    return fail(ErrorCode::invalid_argument, fmt::format("H3 resolution {} is not in 0 to 15", resolution));
  if (rings < 1 || rings > max_rings)
    return fail(ErrorCode::invalid_argument, fmt::format("rings {} is not in 1 to {}", rings, max_rings));
  return Grid(true, resolution, 0, rings);
}

Result<Grid> Grid::plane(double side, int rings) {
  if (!(side > 0) || !std::isfinite(side))
    return fail(ErrorCode::invalid_argument, fmt::format("cell side {} is not a positive length", side));
  if (rings < 1 || rings > max_rings)
    return fail(ErrorCode::invalid_argument, fmt::format("rings {} is not in 1 to {}", rings, max_rings));
  return Grid(false, 0, side, rings);
}

CellKey Grid::cell(Position position) const {
  int face = 0;
  return earth_ ? cell_on_earth(position, face) : cell_on_plane(position);
}

void Grid::cells(std::span<const Position> positions, std::span<CellKey> out) const {
  assert(out.size() == positions.size());
  int face = 0;
  for (size_t i = 0; i < positions.size(); ++i)
    out[i] = earth_ ? cell_on_earth(positions[i], face) : cell_on_plane(positions[i]);
}

CellKey Grid::cell_on_plane(Position position) const {
  const double column = std::floor(position.x / side_), row = std::floor(position.y / side_);
  if (!(std::abs(column) < plane_edge) || !(std::abs(row) < plane_edge)) return 0;  // also NaN
  return plane_key(static_cast<int64_t>(column), static_cast<int64_t>(row));
}

CellKey Grid::cell_on_earth(Position position, int& face) const {
  if (!(std::abs(position.y) <= 90) || !(std::abs(position.x) <= 360)) return 0;
  return hexagons_->cell(degsToRads(position.y), degsToRads(position.x), face);
}

size_t Grid::disk_size() const {
  const auto k = static_cast<size_t>(rings_);
  return earth_ ? 3 * k * (k + 1) : 4 * k * (k + 1);
}

void Grid::disk(CellKey centre, std::span<CellKey> out) const {
  assert(out.size() == disk_size());
  size_t filled = 0;
  if (earth_) {
    std::array<H3Index, largest_disk> cells{};
    [[maybe_unused]] const H3Error error = gridDisk(centre, rings_, cells.data());
    assert(error == E_SUCCESS);
    for (size_t i = 0; i <= out.size(); ++i)
      if (cells[i] != 0 && cells[i] != centre) out[filled++] = cells[i];
  } else {
    const int64_t column = static_cast<int64_t>(gather(centre)) - offset;
    const int64_t row = static_cast<int64_t>(gather(centre >> 1)) - offset;
    for (int64_t y = -rings_; y <= rings_; ++y)
      for (int64_t x = -rings_; x <= rings_; ++x)
        if (x != 0 || y != 0) out[filled++] = plane_key(column + x, row + y);
  }
  for (; filled < out.size(); ++filled) out[filled] = 0;
}

Position Grid::centre(CellKey cell) const {
  if (!earth_) {
    const double column = static_cast<double>(static_cast<int64_t>(gather(cell)) - offset);
    const double row = static_cast<double>(static_cast<int64_t>(gather(cell >> 1)) - offset);
    return {(column + 0.5) * side_, (row + 0.5) * side_};
  }
  LatLng where{};
  cellToLatLng(cell, &where);
  return {radsToDegs(where.lng), radsToDegs(where.lat)};
}

}  // namespace skep::coalition
