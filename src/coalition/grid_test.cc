#include "coalition/grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/random.h"

namespace skep::coalition {
namespace {

std::vector<CellKey> disk_of(const Grid& grid, CellKey cell) {
  std::vector<CellKey> out(grid.disk_size());
  grid.disk(cell, out);
  std::erase(out, CellKey{0});
  return out;
}

TEST(Grid, RefusesWhatIsNoGrid) {
  EXPECT_FALSE(Grid::earth(16));
  EXPECT_FALSE(Grid::earth(-1));
  EXPECT_FALSE(Grid::earth(9, 0));
  EXPECT_FALSE(Grid::plane(0));
  EXPECT_FALSE(Grid::plane(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(Grid::plane(1, Grid::max_rings + 1));
}

TEST(Grid, APositionThatIsNoneHasNoCell) {
  const Grid earth = Grid::earth(9).value(), plane = Grid::plane(2).value();
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinite = std::numeric_limits<double>::infinity();
  EXPECT_EQ(earth.cell({10, 91}), 0U);
  EXPECT_EQ(earth.cell({nan, 10}), 0U);
  EXPECT_EQ(plane.cell({infinite, 0}), 0U);
  EXPECT_EQ(plane.cell({0, nan}), 0U);
  EXPECT_EQ(plane.cell({1e12, 0}), 0U);
  EXPECT_NE(plane.cell({0, 0}), 0U);
}

TEST(Grid, DisksAreSymmetricOnTheEarthIncludingItsPentagons) {
  const Grid grid = Grid::earth(1).value();
  Random random(3);
  size_t pentagons = 0;
  for (int i = 0; i < 2000; ++i) {
    const CellKey cell = grid.cell({random.uniform(-180, 180), random.uniform(-90, 90)});
    const auto around = disk_of(grid, cell);
    pentagons += around.size() == 5 ? 1 : 0;
    for (const CellKey other : around) {
      const auto back = disk_of(grid, other);
      EXPECT_EQ(std::count(back.begin(), back.end(), cell), 1);
    }
  }
  EXPECT_GT(pentagons, 0U);
}

TEST(Grid, DisksOfThePlaneAreTheSquaresAround) {
  const Grid grid = Grid::plane(10, 2).value();
  const auto around = disk_of(grid, grid.cell({-5, -5}));
  EXPECT_EQ(around.size(), 24U);
  EXPECT_TRUE(std::count(around.begin(), around.end(), grid.cell({14, 14})) == 1);
  EXPECT_TRUE(std::count(around.begin(), around.end(), grid.cell({25, 0})) == 0);
}

TEST(Grid, ACellsCentreLiesInTheCell) {
  const Grid earth = Grid::earth(7).value(), plane = Grid::plane(0.5).value();
  Random random(4);
  for (int i = 0; i < 200; ++i) {
    const Position at{random.uniform(-180, 180), random.uniform(-85, 85)};
    EXPECT_EQ(earth.cell(earth.centre(earth.cell(at))), earth.cell(at));
    EXPECT_EQ(plane.cell(plane.centre(plane.cell(at))), plane.cell(at));
  }
}

}  // namespace
}  // namespace skep::coalition
