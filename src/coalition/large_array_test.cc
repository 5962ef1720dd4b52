#include "coalition/large_array.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>

namespace skep::coalition {
namespace {

TEST(LargeArray, BeginsOnALineAndWhenLargeOnALargePageAndKeepsWhatItHolds) {
  LargeArray<uint32_t> array;
  for (const size_t size : {1U, 1000U, 1U << 18, 3'000'000U}) {
    const size_t before = array.size();
    array.resize(size);
    if (before > 0) {
      EXPECT_EQ(array[before - 1], before - 1);
    }
    std::iota(array.begin(), array.end(), 0U);
    const auto address = reinterpret_cast<uintptr_t>(array.data());
    EXPECT_EQ(address % (size * 4 >= LargePages<uint32_t>::from ? LargePages<uint32_t>::page : 64), 0U);
  }
  const LargeArray<uint32_t> copy = array;
  EXPECT_EQ(copy, array);
  EXPECT_NE(copy.data(), array.data());
}

}  // namespace
}  // namespace skep::coalition
