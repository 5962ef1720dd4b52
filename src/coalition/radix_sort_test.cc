#include "coalition/radix_sort.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace skep::coalition {
namespace {

TEST(RadixSort, IsTheStableSortByKey) {
  Random random(1);
  std::vector<KeyedItem> scratch;
  for (const uint64_t mask : {uint64_t{0}, uint64_t{0xff}, uint64_t{0xfff00000}, UINT64_MAX})
    for (const size_t size : {0U, 1U, 2U, 3000U}) {
      std::vector<KeyedItem> items(size);
      for (uint32_t i = 0; i < size; ++i) items[i] = {mix_bits(random.below(1U << 31)) & mask, i};
      std::vector<KeyedItem> expected = items;
      std::stable_sort(expected.begin(), expected.end(),
                       [](const KeyedItem& a, const KeyedItem& b) { return a.first < b.first; });
      radix_sort(items, scratch);
      EXPECT_EQ(items, expected);
    }
}

}  // namespace
}  // namespace skep::coalition
