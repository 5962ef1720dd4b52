#pragma once
// The H3 cell of a position, computed here: what latLngToCell answers, in about a third of its time. Populations ask
// for 100,000 cells per rebuild, and that was a fifth of it.
//
// H3 projects the earth onto the faces of an icosahedron, gnomonically, and lays a lattice of hexagons on each. Lattice
// points are Eisenstein integers a + b ω, ω = exp(2πi/3), and going to a coarser resolution divides by 2 - ω or 3 + ω
// in turns, both of norm 7; what remains is the digit. Two such steps divide by 7 exactly, so a table of 49 gives two
// digits at once. Orientation and numbering of the base cells are asked of the library once, when this is made.
//
// Where rounding could decide (within a millionth of a cell's edge, at a face's edge or centre) and around the twelve
// pentagons the library answers itself, so that the cells are the same ones.

#include <array>
#include <cstdint>

namespace skep::coalition {

class Hexagons {
 public:
  // `resolution` in 0 to 15.
  explicit Hexagons(int resolution);

  // The index of the cell at a latitude in [-π/2, π/2] and any longitude, in radians. `face`: where to look first, in
  // [0, 20); becomes the one it was found on.
  uint64_t cell(double latitude, double longitude, int& face) const;

 private:
  struct Vector {
    double x = 0, y = 0, z = 0;
  };
  struct Face {
    Vector centre, towards_vertex, across;  // an orthonormal basis
    Vector a, b;                            // a and b of a point v are (a·v)/(centre·v), (b·v)/(centre·v)
  };
  struct Base {
    uint64_t cell = 0;   // its number, where an index has it
    uint8_t turns = 0;   // by 60°, from this face's directions to the base cell's own
    bool known = false;  // false: the library has to be asked
  };
  struct Pair {
    uint8_t digits = 0;  // the finer one in the lower three bits
    int8_t a = 0, b = 0;
  };
  static constexpr int reach = 2;  // of base cells from a face's centre, in a and b

  void find_faces();
  void ask_base_cells(int face);
  static double dot(const Vector& p, const Vector& q) { return p.x * q.x + p.y * q.y + p.z * q.z; }

  int resolution_;
  uint64_t frame_ = 0;  // an index without base cell and digits
  std::array<Face, 20> faces_;
  std::array<std::array<Base, (2 * reach + 1) * (2 * reach + 1)>, 20> bases_;
  std::array<Pair, 49> pairs_;
  std::array<std::array<uint8_t, 64>, 6> turned_;  // two digits at once
};

}  // namespace skep::coalition
