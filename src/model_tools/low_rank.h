#pragma once
// The best approximation of a large matrix by a product of two thin ones, without ever holding the large one: a
// randomized truncated SVD (Halko, Martinsson, Tropp 2011, algorithm 4.4 and 5.1) that reads the matrix a few rows at a
// time, 2·passes + 2 times over. Memory: (rows + columns) · (rank + 8) floats.

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"

namespace skep::model_tools {

// Rows [first, first + count) of the matrix, row by row, to `out`.
using RowReader = std::function<Status(int64_t first, int64_t count, float* out)>;

// M ≈ B·A with the singular values split evenly between both.
struct LowRank {
  int rank = 0;
  std::vector<float> a;          // rank × columns, row by row
  std::vector<float> b;          // rows × rank, row by row
  std::vector<double> singular;  // the values kept, falling
  double energy = 1;             // ‖B·A‖² ⁄ ‖M‖²: what was kept; 1 for a matrix of zeros
};

// rank ≤ min(rows, columns). Deterministic.
Result<LowRank> approximate(int64_t rows, int64_t columns, int rank, const RowReader& read, int passes = 2);

}  // namespace skep::model_tools
