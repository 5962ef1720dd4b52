#include "coalition/hexagons.h"

#include <gtest/gtest.h>
#include <h3/h3api.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace skep::coalition {
namespace {

// How many of these positions get another cell than the library's.
class Comparison {
 public:
  explicit Comparison(int resolution) : hexagons_(resolution), resolution_(resolution) {}
  void at(double latitude, double longitude) {
    const LatLng where{latitude, longitude};
    H3Index expected = 0;
    latLngToCell(&where, resolution_, &expected);
    differ_ += hexagons_.cell(latitude, longitude, face_) != expected ? 1 : 0;
  }
  [[nodiscard]] int differ() const { return differ_; }

 private:
  Hexagons hexagons_;
  int resolution_, differ_ = 0;
  int face_ = 0;
};

TEST(Hexagons, AreTheLibrarysAllOverTheEarthAtEveryResolution) {
  for (int resolution = 0; resolution <= 15; ++resolution) {
    Comparison comparison(resolution);
    Random random(static_cast<uint64_t>(resolution));
    for (int i = 0; i < 20'000; ++i)
      comparison.at(std::asin(random.uniform(-1, 1)), random.uniform(-2 * M_PI, 2 * M_PI));
    EXPECT_EQ(comparison.differ(), 0) << resolution;
  }
}

TEST(Hexagons, AreTheLibrarysAtTheirCornersAndEdges) {
  for (const int resolution : {1, 2, 5, 8, 9, 15}) {
    Comparison comparison(resolution);
    Random random(3);
    for (int i = 0; i < 500; ++i) {
      const LatLng where{std::asin(random.uniform(-1, 1)), random.uniform(-M_PI, M_PI)};
      H3Index cell = 0;
      latLngToCell(&where, resolution, &cell);
      CellBoundary boundary;
      cellToBoundary(cell, &boundary);
      for (int k = 0; k < boundary.numVerts; ++k) {
        const LatLng corner = boundary.verts[k], next = boundary.verts[(k + 1) % boundary.numVerts];
        comparison.at(corner.lat, corner.lng);
        if (std::abs(corner.lng - next.lng) > 1) continue;  // across the antimeridian
        comparison.at((corner.lat + next.lat) / 2, (corner.lng + next.lng) / 2);
      }
    }
    EXPECT_EQ(comparison.differ(), 0) << resolution;
  }
}

TEST(Hexagons, AreTheLibrarysAroundPentagonsFaceCentresAndPoles) {
  for (const int resolution : {0, 1, 4, 9, 14, 15}) {
    Comparison comparison(resolution);
    Random random(4);
    std::vector<LatLng> places{{M_PI / 2, 0}, {-M_PI / 2, 0}};
    H3Index pentagons[12];
    getPentagons(0, pentagons);
    for (const H3Index pentagon : pentagons) {
      LatLng where;
      cellToLatLng(pentagon, &where);
      places.push_back(where);
      places.push_back({-where.lat, where.lng});
      CellBoundary boundary;  // its corners are the middles of faces
      cellToBoundary(pentagon, &boundary);
      places.insert(places.end(), boundary.verts, boundary.verts + boundary.numVerts);
    }
    for (const LatLng& place : places)
      for (int i = 0; i < 300; ++i) {
        const double away = std::pow(10, random.uniform(-9, -0.5)), angle = random.uniform(0, 2 * M_PI);
        comparison.at(std::clamp(place.lat + away * std::sin(angle), -M_PI / 2, M_PI / 2),
                      place.lng + away * std::cos(angle));
      }
    EXPECT_EQ(comparison.differ(), 0) << resolution;
  }
}

}  // namespace
}  // namespace skep::coalition
