// Every target that this CPU runs against the scalar reference: the same integer, for every length and at the extremes.

#include "kernel/vector_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace skep::kernel {
namespace {

std::vector<int8_t> random_bytes(Random& random, size_t n) {
  std::vector<int8_t> bytes(n);
  for (int8_t& b : bytes) b = static_cast<int8_t>(static_cast<int>(random.below(255)) - 127);
  return bytes;
}

class VectorKernelsTest : public testing::TestWithParam<VectorKernels> {};
INSTANTIATE_TEST_SUITE_P(Every, VectorKernelsTest, testing::ValuesIn(every_vector_kernels()),
                         [](const auto& kernels) { return std::string(kernels.param.target); });

TEST_P(VectorKernelsTest, TheDotProductIsTheReferenceForEveryLength) {
  Random random(1);
  for (size_t n = 0; n <= 40 * kVectorStep; n += kVectorStep) {
    const auto a = random_bytes(random, n), b = random_bytes(random, n);
    EXPECT_EQ(GetParam().dot_int8(a.data(), b.data(), n), dot_int8_scalar(a.data(), b.data(), n)) << n;
  }
}

TEST_P(VectorKernelsTest, TheDotProductNeedsNoAlignment) {
  Random random(2);
  const size_t n = 384;
  const auto a = random_bytes(random, n + 64), b = random_bytes(random, n + 64);
  for (size_t at = 0; at < 64; ++at) {
    const int8_t* x = a.data() + at;
    const int8_t* y = b.data() + (at * 7) % 64;
    EXPECT_EQ(GetParam().dot_int8(x, y, n), dot_int8_scalar(x, y, n)) << at;
  }
}

TEST_P(VectorKernelsTest, ExtremesNeitherSaturateNorOverflow) {
  for (const size_t n : {kVectorStep, size_t{384}, size_t{4096}, kLongestVector}) {
    const std::vector<int8_t> high(n, 127), low(n, -127);
    EXPECT_EQ(GetParam().dot_int8(high.data(), high.data(), n), static_cast<int32_t>(n * 127 * 127));
    EXPECT_EQ(GetParam().dot_int8(low.data(), low.data(), n), static_cast<int32_t>(n * 127 * 127));
    EXPECT_EQ(GetParam().dot_int8(high.data(), low.data(), n), -static_cast<int32_t>(n * 127 * 127));
  }
}

TEST(VectorKernels, TheChosenTargetIsOneOfThoseTested) {
  const auto every = every_vector_kernels();
  EXPECT_TRUE(std::any_of(every.begin(), every.end(),
                          [](const auto& k) { return std::string_view(k.target) == vector_kernels().target; }));
}

TEST(VectorKernels, LengthsArePaddedUp) {
  EXPECT_EQ(padded_length(1), kVectorStep);
  EXPECT_EQ(padded_length(384), 384U);
  EXPECT_EQ(padded_length(385), 416U);
}

}  // namespace
}  // namespace skep::kernel
