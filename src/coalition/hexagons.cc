#include "coalition/hexagons.h"

#include <h3/h3api.h>

#include <cassert>
#include <cmath>
#include <complex>

namespace skep::coalition {
namespace {

constexpr double face_margin = 1e-9;    // between the cosines to the nearest face and to the next
constexpr double edge_margin = 1e-6;    // between squared distances to the nearest cell and to the next
constexpr double near_centre = 5e-5;    // 1 - cosine; there the library's own angle has lost digits
constexpr double within_face = 0.9343;  // > cos of the angle between a face's centre and its edge, 20.905°
constexpr double root3 = 1.7320508075688772, root5 = 2.23606797749979;
constexpr double coarsest_cell = (3 - root5) / 2;  // on the plane of a face: two lie between its centre and a vertex

struct Eisenstein {
  int64_t a = 0, b = 0;
};

Eisenstein operator+(Eisenstein p, Eisenstein q) { return {p.a + q.a, p.b + q.b}; }
Eisenstein operator-(Eisenstein p, Eisenstein q) { return {p.a - q.a, p.b - q.b}; }
Eisenstein operator*(Eisenstein p, Eisenstein q) {  // ω² = -1 - ω
  return {p.a * q.a - p.b * q.b, p.a * q.b + p.b * q.a - p.b * q.b};
}
std::complex<double> complex(Eisenstein z) {
  return {static_cast<double>(z.a) - static_cast<double>(z.b) / 2, static_cast<double>(z.b) * root3 / 2};
}

constexpr int64_t floor_of_seventh(int64_t x) {
  constexpr int64_t large = int64_t{1} << 40;  // unsigned division by a constant is a multiplication
  return static_cast<int64_t>(static_cast<uint64_t>(x + 7 * large) / 7) - large;
}

// What a lattice point of an odd (even) resolution is divided by on the way to the next coarser one.
constexpr Eisenstein odd_step{2, -1}, even_step{3, 1};

// The coarser point, and in `rest` the way from its centre: 0 or one of the six units. The other factor of 7 is the
// conjugate.
Eisenstein coarser(Eisenstein z, bool odd, Eisenstein& rest) {
  const Eisenstein product = z * (odd ? even_step : odd_step);
  const Eisenstein parent{floor_of_seventh(product.a + 3), floor_of_seventh(product.b + 3)};
  rest = z - parent * (odd ? odd_step : even_step);
  return parent;
}

// The units counter-clockwise from 1 by 60°, and H3's digits of these directions.
constexpr std::array<Eisenstein, 6> units{{{1, 0}, {1, 1}, {0, 1}, {-1, 0}, {-1, -1}, {0, -1}}};
constexpr std::array<uint8_t, 6> digits{4, 6, 2, 3, 1, 5};

int direction_of(uint8_t digit) {
  for (int i = 0; i < 6; ++i)
    if (digits[static_cast<size_t>(i)] == digit) return i;
  return -1;
}
// By (a, b) from (-1, -1) to (1, 1); two of these are no units and never asked for.
constexpr uint8_t digit_of(Eisenstein rest) {
  constexpr std::array<uint8_t, 9> table{1, 3, 0, 5, 0, 2, 0, 4, 6};
  return table[static_cast<size_t>(rest.a * 3 + rest.b + 4)];
}
uint8_t turned(uint8_t digit, int turns) {
  const int direction = direction_of(digit);
  return direction < 0 ? digit : digits[static_cast<size_t>((direction + turns) % 6)];
}

// Places in an index.
constexpr int base_cell_at = 45, resolution_at = 52, mode_at = 59, finest = 15;
constexpr int digit_at(int resolution) { return 3 * (finest - resolution); }

uint64_t ask(double latitude, double longitude, int resolution) {
  const LatLng where{latitude, longitude};
  H3Index index = 0;
  return latLngToCell(&where, resolution, &index) == E_SUCCESS ? index : 0;
}

}  // namespace

Hexagons::Hexagons(int resolution) : resolution_(resolution) {
  assert(resolution >= 0 && resolution <= finest);
  frame_ = uint64_t{1} << mode_at | static_cast<uint64_t>(resolution) << resolution_at |
           ((uint64_t{1} << digit_at(resolution)) - 1);
  for (int64_t a = 0; a < 7; ++a)
    for (int64_t b = 0; b < 7; ++b) {
      Eisenstein fine, coarse;
      const Eisenstein carried = coarser(coarser({a, b}, false, fine), true, coarse);
      pairs_[static_cast<size_t>(a * 7 + b)] = {static_cast<uint8_t>(digit_of(fine) | digit_of(coarse) << 3),
                                                static_cast<int8_t>(carried.a), static_cast<int8_t>(carried.b)};
    }
  for (int turns = 0; turns < 6; ++turns)
    for (uint8_t two = 0; two < 64; ++two)
      turned_[static_cast<size_t>(turns)][two] =
          static_cast<uint8_t>(turned(two & 7, turns) | turned(two >> 3, turns) << 3);
  find_faces();
  for (int face = 0; face < 20; ++face) ask_base_cells(face);
}

// The icosahedron's vertices are the middles of the twelve pentagons; three that are neighbours make a face.
void Hexagons::find_faces() {
  std::array<H3Index, 12> pentagons{};
  [[maybe_unused]] const H3Error error = getPentagons(0, pentagons.data());
  assert(error == E_SUCCESS);
  std::array<Vector, 12> vertices;
  for (size_t i = 0; i < 12; ++i) {
    LatLng where{};
    cellToLatLng(pentagons[i], &where);
    vertices[i] = {std::cos(where.lat) * std::cos(where.lng), std::cos(where.lat) * std::sin(where.lng),
                   std::sin(where.lat)};
  }
  const auto scaled = [](const Vector& v, double by) { return Vector{v.x * by, v.y * by, v.z * by}; };
  const auto sum = [](const Vector& p, const Vector& q) { return Vector{p.x + q.x, p.y + q.y, p.z + q.z}; };
  const auto unit = [&](const Vector& v) { return scaled(v, 1 / std::sqrt(dot(v, v))); };
  const auto adjacent = [&](size_t i, size_t j) { return dot(vertices[i], vertices[j]) > 0.4; };
  // Of a resolution's lattice in units of the coarsest one's.
  std::complex<double> scale = std::pow(7.0, resolution_ / 2);
  if (resolution_ % 2 == 1) scale *= complex(odd_step);
  size_t found = 0;
  for (size_t i = 0; i < 12; ++i)
    for (size_t j = i + 1; j < 12; ++j)
      for (size_t k = j + 1; k < 12; ++k) {
        if (!adjacent(i, j) || !adjacent(j, k) || !adjacent(i, k)) continue;
        assert(found < faces_.size());
        Face& face = faces_[found++];
        face.centre = unit(sum(vertices[i], sum(vertices[j], vertices[k])));
        face.towards_vertex = unit(sum(vertices[i], scaled(face.centre, -dot(vertices[i], face.centre))));
        const Vector& c = face.centre;
        const Vector& t = face.towards_vertex;
        face.across = {c.y * t.z - c.z * t.y, c.z * t.x - c.x * t.z, c.x * t.y - c.y * t.x};
        const double re = scale.real() / coarsest_cell, im = scale.imag() / coarsest_cell;
        const Vector x = sum(scaled(t, re), scaled(face.across, -im));
        const Vector y = sum(scaled(t, im), scaled(face.across, re));
        face.a = sum(x, scaled(y, 1 / root3));
        face.b = scaled(y, 2 / root3);
      }
  assert(found == faces_.size());
}

// Which base cell lies where on a face, and how it is turned: from where the library puts its children.
void Hexagons::ask_base_cells(int face) {
  const Face& on = faces_[static_cast<size_t>(face)];
  for (int64_t a = -reach; a <= reach; ++a)
    for (int64_t b = -reach; b <= reach; ++b) {
      Base& base = bases_[static_cast<size_t>(face)][static_cast<size_t>((a + reach) * (2 * reach + 1) + b + reach)];
      bool consistent = true;
      for (int direction = 0; direction < 6; ++direction) {
        const Eisenstein child = Eisenstein{a, b} * odd_step + units[static_cast<size_t>(direction)];
        const std::complex<double> z = complex(child) / complex(odd_step) * coarsest_cell;
        const Vector v{on.centre.x + z.real() * on.towards_vertex.x + z.imag() * on.across.x,
                       on.centre.y + z.real() * on.towards_vertex.y + z.imag() * on.across.y,
                       on.centre.z + z.real() * on.towards_vertex.z + z.imag() * on.across.z};
        bool inside = true;  // beyond the edge another face's projection holds
        for (const Face& other : faces_)
          inside = inside && (&other == &on || dot(other.centre, v) < dot(on.centre, v) * (1 - 1e-3));
        if (!inside) continue;
        const uint64_t index = ask(std::atan2(v.z, std::hypot(v.x, v.y)), std::atan2(v.y, v.x), 1);
        const int theirs = direction_of(static_cast<uint8_t>(index >> digit_at(1) & 7));
        const auto turns = static_cast<uint8_t>((theirs - direction + 6) % 6);
        const uint64_t number = index & uint64_t{127} << base_cell_at;
        H3Index parent = 0;
        cellToParent(index, 0, &parent);
        if (theirs < 0 || isPentagon(parent) != 0 || (base.known && (base.turns != turns || base.cell != number)))
          consistent = false;
        base = {number, turns, true};
      }
      base.known = base.known && consistent;
    }
}

uint64_t Hexagons::cell(double latitude, double longitude, int& face) const {
  const double cosine = std::cos(latitude);
  const Vector v{cosine * std::cos(longitude), cosine * std::sin(longitude), std::sin(latitude)};
  double towards = dot(faces_[static_cast<size_t>(face)].centre, v);
  if (towards < within_face) {  // perhaps another is nearer
    double best = -2, second = -2;
    for (int i = 0; i < 20; ++i) {
      const double d = dot(faces_[static_cast<size_t>(i)].centre, v);
      if (d > best) face = i;
      second = std::max(second, std::min(best, d));
      best = std::max(best, d);
    }
    if (best - second < face_margin) return ask(latitude, longitude, resolution_);
    towards = best;
  }
  if (towards > 1 - near_centre) return ask(latitude, longitude, resolution_);

  // The nearest lattice point is a corner of the rhombus around (a, b).
  const Face& on = faces_[static_cast<size_t>(face)];
  const double a = dot(on.a, v) / towards, b = dot(on.b, v) / towards;
  const double below_a = std::floor(a), below_b = std::floor(b);
  const double p = a - below_a, q = b - below_b;
  const double corner = p * p - p * q + q * q;  // squared distance to (0, 0)
  const std::array<double, 4> distance{corner, corner + 1 + q - 2 * p, corner + 1 + p - 2 * q, corner + 1 - p - q};
  size_t nearest = 0;
  double least = distance[0], next = 2;
  for (size_t i = 1; i < 4; ++i) {
    nearest = distance[i] < least ? i : nearest;
    next = std::min(next, std::max(least, distance[i]));
    least = std::min(least, distance[i]);
  }
  if (next - least < edge_margin) return ask(latitude, longitude, resolution_);
  constexpr std::array<Eisenstein, 4> corners{{{0, 0}, {1, 0}, {0, 1}, {1, 1}}};
  Eisenstein z = Eisenstein{static_cast<int64_t>(below_a), static_cast<int64_t>(below_b)} + corners[nearest];

  uint64_t path = 0;
  int resolution = resolution_;
  if (resolution % 2 == 1) {
    Eisenstein rest;
    z = coarser(z, true, rest);
    path |= uint64_t{digit_of(rest)} << digit_at(resolution--);
  }
  for (; resolution > 0; resolution -= 2) {
    const Eisenstein seventh{floor_of_seventh(z.a), floor_of_seventh(z.b)};
    const Pair& pair = pairs_[static_cast<size_t>((z.a - 7 * seventh.a) * 7 + z.b - 7 * seventh.b)];
    path |= uint64_t{pair.digits} << digit_at(resolution);
    z = seventh + Eisenstein{pair.a, pair.b};
  }
  if (z.a < -reach || z.a > reach || z.b < -reach || z.b > reach) return ask(latitude, longitude, resolution_);
  const Base& base =
      bases_[static_cast<size_t>(face)][static_cast<size_t>((z.a + reach) * (2 * reach + 1) + z.b + reach)];
  if (!base.known) return ask(latitude, longitude, resolution_);
  const auto& turn = turned_[base.turns];
  uint64_t own = 0;
  for (int at = digit_at(resolution_) / 6 * 6; at < base_cell_at; at += 6) own |= uint64_t{turn[path >> at & 63]} << at;
  return frame_ | base.cell | own;
}

}  // namespace skep::coalition
