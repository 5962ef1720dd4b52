// No room on the disk.

#include <gtest/gtest.h>

#include "base/random.h"
#include "store/store.h"
#include "store/testing_folder.h"
#include "store/testing_full_disk.h"

namespace skep::store {
namespace {

std::string noise(Random& random, size_t size) {
  std::string value(size, '\0');
  for (char& c : value) c = static_cast<char>(random.next());
  return value;
}

TEST(StoreFullDisk, RefusesWritesReadsOnAndRecoversByItself) {
  TestingFolder folder;
  Random random(3);
  std::vector<std::string> written;
  auto opened = Store::open({.folder = folder.path()});
  ASSERT_TRUE(opened);
  Store& store = **opened;
  {
    FullDisk full(6 << 20);
    // A put is refused when the journal has no room; moving what it holds into LMDB makes some, until that is full,
    // too.
    Status refused, flushed;
    for (int i = 0; i < 4000 && (refused || flushed); ++i) {
      if (!refused) flushed = store.flush();
      std::string value = noise(random, 10'000);
      std::string key = std::to_string(written.size());
      refused = store.put("s", key, value);
      if (refused) written.push_back(std::move(value));
    }
    ASSERT_FALSE(refused || flushed) << "40 MB went into 6 MB";
    EXPECT_EQ(refused.error().code, ErrorCode::unavailable) << refused.error().text();
    EXPECT_FALSE(refused.error().hint.empty());
    for (size_t i = 0; i < written.size(); ++i) ASSERT_EQ(*store.get("s", std::to_string(i)), written[i]) << i;
    EXPECT_FALSE(store.flush());
    EXPECT_TRUE(store.usage().refusing);
  }
  ASSERT_TRUE(store.flush()) << "there is room again";
  EXPECT_FALSE(store.usage().refusing);
  EXPECT_TRUE(store.put("s", "after", "v"));
  opened->reset();
  auto again = Store::open({.folder = folder.path()});
  ASSERT_TRUE(again);
  for (size_t i = 0; i < written.size(); ++i) ASSERT_EQ(*(*again)->get("s", std::to_string(i)), written[i]) << i;
  EXPECT_EQ(*(*again)->get("s", "after"), "v");
}

TEST(StoreFullDisk, WhatWasAcknowledgedSurvivesAStopWithoutRoom) {
  TestingFolder folder;
  Random random(4);
  std::vector<std::string> written;
  {
    auto store = Store::open({.folder = folder.path()});
    ASSERT_TRUE(store);
    FullDisk full(5 << 20);
    for (int i = 0; i < 4000; ++i) {
      std::string value = noise(random, 10'000);
      if (!(*store)->put("s", std::to_string(i), value)) break;
      written.push_back(std::move(value));
    }
    store->reset();  // the last of it is in the journals alone
  }
  ASSERT_GT(written.size(), 100U);
  auto again = Store::open({.folder = folder.path()});
  ASSERT_TRUE(again);
  for (size_t i = 0; i < written.size(); ++i) ASSERT_EQ(*(*again)->get("s", std::to_string(i)), written[i]) << i;
}

}  // namespace
}  // namespace skep::store
