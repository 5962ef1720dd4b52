#include "kernel/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <memory>
#include <numeric>
#include <thread>
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

TEST(ThreadPool, NoWorkerIsPinnedWhereItsCallerRuns) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  if (CPU_COUNT(&allowed) < 2) GTEST_SKIP() << "one CPU";
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::unique_ptr<ThreadPool> pool;
    for (bool moved = true; moved;) {  // by the scheduler, while we look
      cpu_set_t here;
      CPU_ZERO(&here);
      CPU_SET(cpu, &here);
      ASSERT_EQ(sched_setaffinity(0, sizeof here, &here), 0);
      ASSERT_EQ(sched_setaffinity(0, sizeof allowed, &allowed), 0);
      pool = ThreadPool::create(2, Pinning::always);
      moved = sched_getcpu() != cpu;
    }
    cpu_set_t of_worker;
    CPU_ZERO(&of_worker);
    std::atomic<bool> known = false;
    pool->run(2, [&](uint32_t, uint32_t thread) {
      if (thread == 1) {
        sched_getaffinity(0, sizeof of_worker, &of_worker);
        known = true;
      }
      while (!known) std::this_thread::yield();  // the caller leaves one chunk to the worker
    });
    EXPECT_EQ(CPU_COUNT(&of_worker), 1);
    EXPECT_FALSE(CPU_ISSET(cpu, &of_worker)) << cpu;
  }
}

}  // namespace
}  // namespace skep::kernel
