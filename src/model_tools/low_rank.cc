#include "model_tools/low_rank.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "base/random.h"

namespace skep::model_tools {
namespace {

constexpr int kOversampling = 8;
constexpr int64_t kChunkValues = 1 << 20;  // of the matrix in memory at once
constexpr int kMostSweeps = 60;

// Columns stored one after the other: column j at j · length.
struct Thin {
  int64_t length = 0;
  int count = 0;
  std::vector<float> values;
  Thin(int64_t l, int c) : length(l), count(c), values(static_cast<size_t>(l * c), 0.0F) {}
  float* column(int j) { return values.data() + j * length; }
  [[nodiscard]] const float* column(int j) const { return values.data() + j * length; }
};

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// Gram and Schmidt, twice, which is enough (Giraud et al. 2005). Columns that vanish become zero.
void orthonormalize(Thin& q) {
  for (int j = 0; j < q.count; ++j) {
    float* v = q.column(j);
    const double before = std::sqrt(dot(v, v, q.length));
    for (int round = 0; round < 2; ++round) {
      for (int k = 0; k < j; ++k) {
        const double along = dot(v, q.column(k), q.length);
        const float* u = q.column(k);
        for (int64_t i = 0; i < q.length; ++i) v[i] -= static_cast<float>(along) * u[i];
      }
    }
    const double norm = std::sqrt(dot(v, v, q.length));
    const double scale = norm > 1e-6 * before && norm > 0 ? 1 / norm : 0;
    for (int64_t i = 0; i < q.length; ++i) v[i] = static_cast<float>(v[i] * scale);
  }
}

class Matrix {
 public:
  Matrix(int64_t rows, int64_t columns, const RowReader& read) : rows_(rows), columns_(columns), read_(read) {}

  // out = M · in
  Status times(const Thin& in, Thin& out) const {
    return each_row([&](int64_t r, const float* row) {
      for (int j = 0; j < in.count; ++j) out.column(j)[r] = static_cast<float>(dot(row, in.column(j), columns_));
    });
  }
  // out = Mᵀ · in; the squared norm of M on the way
  Status transposed_times(const Thin& in, Thin& out, double& squares) const {
    std::fill(out.values.begin(), out.values.end(), 0.0F);
    squares = 0;
    return each_row([&](int64_t r, const float* row) {
      squares += dot(row, row, columns_);
      for (int j = 0; j < in.count; ++j) {
        const float factor = in.column(j)[r];
        if (factor == 0) continue;
        float* sum = out.column(j);
        for (int64_t c = 0; c < columns_; ++c) sum[c] += factor * row[c];
      }
    });
  }

 private:
  template <typename F>
  Status each_row(const F& f) const {
    const int64_t at_once = std::clamp<int64_t>(kChunkValues / columns_, 1, rows_);
    std::vector<float> chunk(static_cast<size_t>(at_once * columns_));
    for (int64_t first = 0; first < rows_; first += at_once) {
      const int64_t count = std::min(at_once, rows_ - first);
      SKEP_CHECK(read_(first, count, chunk.data()));
      for (int64_t i = 0; i < count; ++i) f(first + i, chunk.data() + i * columns_);
    }
    return {};
  }

  int64_t rows_, columns_;
  const RowReader& read_;
};

// Eigenvalues and -vectors of a small symmetric matrix by Jacobi's rotations; vectors in the columns of `v`.
void eigen(std::vector<double>& a, int n, std::vector<double>& v) {
  const auto at = [n](int i, int j) { return static_cast<size_t>(i * n + j); };
  v.assign(static_cast<size_t>(n * n), 0);
  for (int i = 0; i < n; ++i) v[at(i, i)] = 1;
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    double off = 0, diagonal = 0;
    for (int i = 0; i < n; ++i) {
      diagonal += a[at(i, i)] * a[at(i, i)];
      for (int j = 0; j < i; ++j) off += a[at(i, j)] * a[at(i, j)];
    }
    if (off <= 1e-22 * diagonal) return;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) {
        if (a[at(p, q)] == 0) continue;
        const double theta = (a[at(q, q)] - a[at(p, p)]) / (2 * a[at(p, q)]);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (int k = 0; k < n; ++k) {
          const double kp = a[at(k, p)], kq = a[at(k, q)];
          a[at(k, p)] = c * kp - s * kq, a[at(k, q)] = s * kp + c * kq;
        }
        for (int k = 0; k < n; ++k) {
          const double pk = a[at(p, k)], qk = a[at(q, k)];
          a[at(p, k)] = c * pk - s * qk, a[at(q, k)] = s * pk + c * qk;
          const double kp = v[at(k, p)], kq = v[at(k, q)];
          v[at(k, p)] = c * kp - s * kq, v[at(k, q)] = s * kp + c * kq;
        }
      }
    }
  }
}

}  // namespace

Result<LowRank> approximate(int64_t rows, int64_t columns, int rank, const RowReader& read, int passes) {
  assert(rank > 0 && rank <= std::min(rows, columns));
  const int width = static_cast<int>(std::min<int64_t>(rank + kOversampling, std::min(rows, columns)));
  const Matrix m(rows, columns, read);
  Thin right(columns, width), left(rows, width);
  Random random(20260101);
  for (float& value : right.values) value = static_cast<float>(random.normal());
  double squares = 0;
  SKEP_CHECK(m.times(right, left));
  for (int pass = 0; pass < passes; ++pass) {  // sharpens the subspace: (M Mᵀ)ᵖ M
    orthonormalize(left);
    SKEP_CHECK(m.transposed_times(left, right, squares));
    orthonormalize(right);
    SKEP_CHECK(m.times(right, left));
  }
  orthonormalize(left);
  SKEP_CHECK(m.transposed_times(left, right, squares));  // right = (Qᵀ M)ᵀ, columns × width

  // Qᵀ M = small · Vᵀ: the eigenvectors of (QᵀM)(QᵀM)ᵀ are the left singular vectors in the basis Q.
  std::vector<double> gram(static_cast<size_t>(width * width)), vectors;
  for (int i = 0; i < width; ++i) {
    for (int j = 0; j < width; ++j)
      gram[static_cast<size_t>(i * width + j)] = dot(right.column(i), right.column(j), columns);
  }
  eigen(gram, width, vectors);
  std::vector<int> order(static_cast<size_t>(width));
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](int i) { return gram[static_cast<size_t>(i * width + i)]; };
  std::sort(order.begin(), order.end(), [&](int i, int j) { return value(i) > value(j); });

  LowRank result;
  result.rank = rank;
  result.a.assign(static_cast<size_t>(rank * columns), 0);
  result.b.assign(static_cast<size_t>(rows * rank), 0);
  double kept = 0;
  for (int k = 0; k < rank; ++k) {
    const int from = order[static_cast<size_t>(k)];
    const double sigma = std::sqrt(std::max(0.0, value(from)));
    result.singular.push_back(sigma);
    kept += sigma * sigma;
    if (sigma <= 0) continue;
    const double root = std::sqrt(sigma);
    for (int j = 0; j < width; ++j) {
      const double weight = vectors[static_cast<size_t>(j * width + from)];
      const float *q = left.column(j), *p = right.column(j);
      for (int64_t r = 0; r < rows; ++r)
        result.b[static_cast<size_t>(r * rank + k)] += static_cast<float>(weight * root * q[r]);
      for (int64_t c = 0; c < columns; ++c)
        result.a[static_cast<size_t>(k * columns + c)] += static_cast<float>(weight / root * p[c]);
    }
  }
  result.energy = squares > 0 ? std::min(1.0, kept / squares) : 1;
  return result;
}

}  // namespace skep::model_tools
