#pragma once
// Small operations on categorical distributions in f64. Internal to mind/belief.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace skep::belief {

inline double x_log_x(double p) { return p > 0 ? p * std::log(p) : 0; }

// In place, stable: the maximum is subtracted first.
inline void softmax(double* x, size_t n) {
  const double top = *std::max_element(x, x + n);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - top);
  for (size_t i = 0; i < n; ++i) x[i] /= sum;
}

// The lowest index within 1e-8 of the maximum: ties resolve alike on every machine.
template <typename T>
size_t select_highest(const T* x, size_t n) {
  const T top = *std::max_element(x, x + n);
  return static_cast<size_t>(std::find_if(x, x + n, [top](T v) { return v >= top - T(1e-8); }) - x);
}

// Inverse of the cumulative distribution at u in [0, 1).
template <typename T>
size_t draw(const T* p, size_t n, double u) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    sum += static_cast<double>(p[i]);
    if (u < sum) return i;
  }
  for (size_t i = n; i-- > 0;) {
    if (p[i] > 0) return i;
  }
  return n - 1;
}

// out[k] += weight · Σ table[s_0, …, s_n] Π_{j ≠ keep} q[j][s_j], with k the index on axis `keep`; keep = -1 sums over
// all axes into out[0]. `table` is dense in C order with extents dims[0 … axes - 1].
inline void contract(const double* table, const int* dims, int axes, const double* const* q, int keep, double weight,
                     double* out) {
  if (axes == 0) {
    *out += weight * *table;
    return;
  }
  const int extent = dims[0];
  if (axes == 1) {
    if (keep == 0) {
      for (int i = 0; i < extent; ++i) out[i] += weight * table[i];
    } else {
      double sum = 0;
      for (int i = 0; i < extent; ++i) sum += q[0][i] * table[i];
      *out += weight * sum;
    }
    return;
  }
  size_t stride = 1;
  for (int a = 1; a < axes; ++a) stride *= static_cast<size_t>(dims[a]);
  for (int i = 0; i < extent; ++i) {
    const double* slice = table + static_cast<size_t>(i) * stride;
    if (keep == 0) {
      contract(slice, dims + 1, axes - 1, q + 1, -1, weight, out + i);
    } else if (q[0][i] != 0) {
      contract(slice, dims + 1, axes - 1, q + 1, keep - 1, weight * q[0][i], out);
    }
  }
}

}  // namespace skep::belief
