#pragma once
// What tests of belief kernels begin with: rows as kernels want them, and distributions in them.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/random.h"

namespace skep::kernel {

// On 64-byte boundaries, zeros at first.
template <typename T>
class Rows {
 public:
  Rows(size_t rows, size_t stride) : stride_(stride), data_(rows * stride + 64 / sizeof(T), T(0)) {
    const auto address = reinterpret_cast<uintptr_t>(data_.data());
    first_ = data_.data() + (64 - address % 64) % 64 / sizeof(T);
  }
  T* operator[](size_t row) { return first_ + row * stride_; }

 private:
  size_t stride_;
  std::vector<T> data_;
  T* first_;
};

// `sparse`: about half of the entries are 0.
template <typename T>
void fill_distribution(Random& random, T* row, size_t n, bool sparse = false) {
  double sum = 0;
  std::vector<double> p(n);
  for (double& x : p) sum += x = sparse && random.uniform() < 0.5 ? 0 : -std::log(1 - random.uniform());
  if (sum == 0) sum = p[0] = 1;
  for (size_t i = 0; i < n; ++i) row[i] = static_cast<T>(p[i] / sum);
}

}  // namespace skep::kernel
