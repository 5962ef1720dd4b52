#pragma once
// Walking on a grid of width × height places, numbered row by row: shared by the worlds in which agents walk.

#include <algorithm>
#include <cstdlib>

#include "mind/belief/tensor.h"

namespace skep::scenario {

struct GridWalk {
  static constexpr int actions = 5;  // stay, north, east, south, west

  int width = 0;
  int height = 0;

  [[nodiscard]] int places() const { return width * height; }
  [[nodiscard]] int x(int place) const { return place % width; }
  [[nodiscard]] int y(int place) const { return place / width; }
  [[nodiscard]] int distance(int a, int b) const { return std::abs(x(a) - x(b)) + std::abs(y(a) - y(b)); }

  // Where an action leads; at the edge it leads nowhere.
  [[nodiscard]] int after(int place, int action) const {
    constexpr int dx[actions] = {0, 0, 1, 0, -1}, dy[actions] = {0, -1, 0, 1, 0};
    const int column = std::clamp(x(place) + dx[action], 0, width - 1);
    const int row = std::clamp(y(place) + dy[action], 0, height - 1);
    return row * width + column;
  }

  // B of a walker whose actions do what they should, and A of one that sees where it is.
  [[nodiscard]] belief::Tensor transitions() const {
    belief::Tensor b({places(), places(), actions});
    for (int from = 0; from < places(); ++from)
      for (int action = 0; action < actions; ++action) b.at({after(from, action), from, action}) = 1;
    return b;
  }
  [[nodiscard]] belief::Tensor identity() const {
    belief::Tensor a({places(), places()});
    for (int place = 0; place < places(); ++place) a.at({place, place}) = 1;
    return a;
  }
};

}  // namespace skep::scenario
