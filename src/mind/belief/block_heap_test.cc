#include "mind/belief/block_heap.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace skep::belief {
namespace {

constexpr size_t kLargest = 416;  // no power of two, as rows of 104 states have

// Takes, releases and restores at random; no two blocks may ever share a byte.
TEST(BlockHeap, BlocksNeverOverlapWhateverIsTakenAndReleased) {
  BlockHeap heap(kLargest);
  std::map<uint64_t, size_t> taken;  // content by place
  Random random(1);
  const auto expect_apart = [&] {
    uint64_t end = 0;
    for (const auto& [at, content] : taken) {
      ASSERT_GE(at, end);
      ASSERT_EQ(at % 32, 0u);
      end = at + heap.block_bytes(content);
    }
    ASSERT_LE(end, heap.bytes());
  };
  for (int i = 0; i < 20'000; ++i) {
    if (!taken.empty() && random.below(2) == 0) {
      const auto which = std::next(taken.begin(), random.below(static_cast<uint32_t>(taken.size())));
      heap.release(which->first, which->second);
      taken.erase(which);
      continue;
    }
    const size_t content = 1 + random.below(kLargest);
    auto at = heap.take(content);
    if (!at) {
      heap.extend(4096);
      at = heap.take(content);
    }
    ASSERT_TRUE(at.has_value());
    ASSERT_TRUE(taken.emplace(*at, content).second);
    if (i % 500 == 0) expect_apart();
    if (i % 3000 == 0) {  // as after a restart
      const size_t bytes = heap.bytes();
      heap = BlockHeap(kLargest);
      heap.extend(bytes);
      std::vector<BlockHeap::Block> blocks;
      for (const auto& [place, size] : taken) blocks.push_back({place, size});
      ASSERT_TRUE(heap.restore(blocks));
    }
  }
  expect_apart();
}

// What was full rows serves small ones, and after a restart the other way round, too.
TEST(BlockHeap, ALargeBlockIsCutAndARestartJoinsItsPieces) {
  BlockHeap heap(kLargest);
  heap.extend(kLargest);
  EXPECT_FALSE(BlockHeap(kLargest).take(1).has_value()) << "there is nothing to take from";
  const auto full = heap.take(kLargest);
  ASSERT_TRUE(full.has_value());
  EXPECT_FALSE(heap.take(1).has_value());
  heap.release(*full, kLargest);
  for (size_t i = 0; i < kLargest / 32; ++i) ASSERT_TRUE(heap.take(20).has_value()) << i;
  EXPECT_FALSE(heap.take(1).has_value());
  for (size_t i = 0; i < kLargest / 32; ++i) heap.release(i * 32, 20);
  EXPECT_FALSE(heap.take(kLargest).has_value());
  ASSERT_TRUE(heap.restore({}));
  EXPECT_TRUE(heap.take(kLargest).has_value());
}

TEST(BlockHeap, WhatCantBeBlocksIsRefused) {
  BlockHeap heap(kLargest);
  heap.extend(4096);
  EXPECT_TRUE(heap.restore({{64, 60}, {0, 64}}));
  EXPECT_FALSE(heap.restore({{0, 65}, {64, 8}})) << "64 lies within 128";
  EXPECT_FALSE(heap.restore({{8, 8}}));
  EXPECT_FALSE(heap.restore({{0, kLargest + 1}}));
  EXPECT_FALSE(heap.restore({{0, 0}}));
  EXPECT_FALSE(heap.restore({{4096 - 32, 64}}));
  EXPECT_FALSE(heap.restore({{~uint64_t{31}, 64}}));
}

}  // namespace
}  // namespace skep::belief
