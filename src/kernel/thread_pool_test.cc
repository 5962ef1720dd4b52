#include "kernel/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <vector>

namespace skep::kernel {
namespace {

TEST(ThreadPool, RunsEveryChunkExactlyOnce) {
  for (int threads : {1, 2, 3, 7}) {
    auto pool = ThreadPool::create(threads, Pinning::never);
    EXPECT_EQ(pool->threads(), threads);
    for (uint32_t chunks : {0u, 1u, 2u, 5u, 1000u}) {
      std::vector<std::atomic<int>> hits(chunks);
      pool->run(chunks, [&](uint32_t chunk, uint32_t thread) {
        ASSERT_LT(thread, static_cast<uint32_t>(threads));
        hits[chunk].fetch_add(1);
      });
      for (uint32_t c = 0; c < chunks; ++c) ASSERT_EQ(hits[c].load(), 1) << c;
    }
  }
}

TEST(ThreadPool, ManyShortRunsInARowAllFinishBeforeTheyReturn) {
  auto pool = ThreadPool::create(4, Pinning::never);
  std::vector<uint64_t> sums(8);
  for (uint64_t round = 0; round < 20'000; ++round) {
    // Plain writes: a chunk that is still running after run() returned would lose or double a count.
    pool->run(8, [&](uint32_t chunk, uint32_t) { sums[chunk] += round; });
  }
  for (uint64_t sum : sums) EXPECT_EQ(sum, 20'000u * 19'999u / 2);
}

TEST(ThreadPool, AThreadIndexIsNeverUsedTwiceAtTheSameTime) {
  auto pool = ThreadPool::create(3, Pinning::never);
  std::vector<std::atomic<int>> inside(3);
  std::atomic<bool> clash = false;
  pool->run(3000, [&](uint32_t, uint32_t thread) {
    if (inside[thread].fetch_add(1) != 0) clash = true;
    inside[thread].fetch_sub(1);
  });
  EXPECT_FALSE(clash.load());
}

}  // namespace
}  // namespace skep::kernel
