#include "model_tools/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/random.h"

namespace skep::model_tools {
namespace {

struct Dense {
  int64_t rows, columns;
  std::vector<float> values;
  [[nodiscard]] RowReader reader() const {
    return [this](int64_t first, int64_t count, float* out) {
      std::memcpy(out, values.data() + first * columns, static_cast<size_t>(count * columns) * sizeof(float));
      return Status();
    };
  }
};

// Σ sₖ uₖ vₖᵀ with random directions, plus noise.
Dense make(int64_t rows, int64_t columns, const std::vector<double>& strengths, double noise, uint64_t seed) {
  Random random(seed);
  Dense m{rows, columns, std::vector<float>(static_cast<size_t>(rows * columns))};
  for (const double strength : strengths) {
    std::vector<double> u(static_cast<size_t>(rows)), v(static_cast<size_t>(columns));
    for (double& x : u) x = random.normal() / std::sqrt(static_cast<double>(rows));
    for (double& x : v) x = random.normal() / std::sqrt(static_cast<double>(columns));
    for (size_t r = 0; r < u.size(); ++r) {
      for (size_t c = 0; c < v.size(); ++c) m.values[r * v.size() + c] += static_cast<float>(strength * u[r] * v[c]);
    }
  }
  for (float& x : m.values) x += static_cast<float>(noise * random.normal());
  return m;
}

double distance(const Dense& m, const LowRank& low) {
  double error = 0, whole = 0;
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t c = 0; c < m.columns; ++c) {
      double sum = 0;
      for (int k = 0; k < low.rank; ++k) {
        sum += static_cast<double>(low.b[static_cast<size_t>(r * low.rank + k)]) *
               low.a[static_cast<size_t>(k * m.columns + c)];
      }
      const double value = m.values[static_cast<size_t>(r * m.columns + c)];
      error += (value - sum) * (value - sum), whole += value * value;
    }
  }
  return error / whole;
}

TEST(LowRank, AMatrixOfThatRankIsFoundExactly) {
  const Dense m = make(70, 130, {9, 4, 1}, 0, 1);
  const auto low = approximate(m.rows, m.columns, 3, m.reader());
  ASSERT_TRUE(low);
  EXPECT_LT(distance(m, *low), 1e-8);
  EXPECT_NEAR(low->energy, 1, 1e-6);
  EXPECT_GT(low->singular[0], low->singular[1]);
  EXPECT_GT(low->singular[1], low->singular[2]);
}

TEST(LowRank, WhatItSaysItKeptIsWhatItKept) {
  const Dense m = make(120, 90, {10, 6, 3, 2, 1}, 0.02, 2);
  const auto low = approximate(m.rows, m.columns, 2, m.reader());
  ASSERT_TRUE(low);
  EXPECT_NEAR(1 - distance(m, *low), low->energy, 1e-4);
  EXPECT_GT(low->energy, 0.8);
}

TEST(LowRank, MoreRankKeepsMore) {
  const Dense m = make(60, 60, {}, 1, 3);
  double last = 0;
  for (const int rank : {1, 4, 16, 60}) {
    const auto low = approximate(m.rows, m.columns, rank, m.reader());
    ASSERT_TRUE(low);
    EXPECT_GT(low->energy, last);
    last = low->energy;
  }
  EXPECT_NEAR(last, 1, 1e-4);
}

TEST(LowRank, ZerosAndVectorsAreNoTrouble) {
  const Dense zeros{8, 5, std::vector<float>(40)};
  const auto none = approximate(8, 5, 2, zeros.reader());
  ASSERT_TRUE(none);
  EXPECT_EQ(none->energy, 1);
  for (const float x : none->a) EXPECT_EQ(x, 0);
  const Dense row = make(1, 50, {3}, 0, 4);
  EXPECT_LT(distance(row, *approximate(1, 50, 1, row.reader())), 1e-8);
}

TEST(LowRank, AReaderThatFailsEndsIt) {
  const auto failed = approximate(4, 4, 1, [](int64_t, int64_t, float*) -> Status { return fail(ErrorCode::io, "x"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::io);
}

}  // namespace
}  // namespace skep::model_tools
