#include "coalition/sparse_sums.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"

namespace skep::coalition {
namespace {

// Keys of three kinds: near each other, far apart, and such that share a place in any small table.
uint32_t some_key(Random& random) {
  switch (random.below(3)) {
    case 0:
      return 1000 + random.below(40);
    case 1:
      return random.below(UINT32_MAX);
    default:
      return random.below(20) << 16;
  }
}

TEST(SparseSums, AddUpAsAMapDoesWhateverTheKeys) {
  SparseSums sums;
  Random random(1);
  for (int round = 0; round < 400; ++round) {
    sums.clear();
    std::map<uint32_t, double> expected;
    std::vector<uint32_t> order;
    const uint32_t adds = round % 40 == 39 ? 5000 : random.below(30);  // sometimes more than there is room for
    for (uint32_t i = 0; i < adds; ++i) {
      const uint32_t key = some_key(random);
      if (expected.count(key) == 0) order.push_back(key);
      const double value = random.below(100);
      expected[key] += value;
      sums.add(key, value);
    }
    ASSERT_EQ(sums.size(), order.size());
    for (size_t i = 0; i < order.size(); ++i) {
      EXPECT_EQ(sums[i].key(), order[i]);
      EXPECT_EQ(sums[i].sum, expected[order[i]]);
    }
    for (int i = 0; i < 50; ++i) {
      const uint32_t key = some_key(random);
      EXPECT_EQ(sums.has(key), expected.count(key) == 1);
      EXPECT_EQ(sums.of(key), expected.count(key) == 1 ? expected[key] : 0);
    }
  }
}

TEST(SparseSums, ManyAddsInARowGrowTheTableBeforehand) {
  SparseSums sums;
  sums.add(7, 1);
  {
    SparseSums::Adding adding(sums, 10'000);
    for (uint32_t i = 0; i < 20'000; ++i) adding.add(i % 10'000 * 4096, 1);
  }
  EXPECT_EQ(sums.size(), 10'001U);
  EXPECT_EQ(sums.of(7), 1);
  for (uint32_t i = 0; i < 10'000; ++i) ASSERT_EQ(sums.of(i * 4096), 2);
}

TEST(Marks, AreNewOnceUntilTheyAreCleared) {
  Marks marks;
  Random random(2);
  for (const size_t limit : {10U, 1000U, 100U}) {
    marks.clear(limit);
    std::set<uint32_t> seen;
    for (int i = 0; i < 500; ++i) {
      const uint32_t number = random.below(static_cast<uint32_t>(limit));
      EXPECT_EQ(marks.add(number), seen.insert(number).second);
    }
  }
}

}  // namespace
}  // namespace skep::coalition
