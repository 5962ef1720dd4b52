#include "engine/cpu_observer.h"

#include <gtest/gtest.h>

#include <thread>

namespace skep::engine {
namespace {

TEST(CpuObserver, SeesItsOwnWork) {
  CpuObserver observer;
  observer.sample({});
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  while (std::chrono::steady_clock::now() < end) {
  }
  const MachineSample sample = observer.sample(std::chrono::milliseconds(50));
  EXPECT_GE(sample.threads.waited, 0);
  EXPECT_LE(sample.threads.waited, 1);
  EXPECT_FALSE(observer.allowed().empty());
  EXPECT_EQ(sample.cpus.size(), observer.allowed().size());
  for (const CpuUse& use : sample.cpus) {
    EXPECT_GE(use.others, 0);
    EXPECT_LE(use.others, 1);
  }
}

}  // namespace
}  // namespace skep::engine
