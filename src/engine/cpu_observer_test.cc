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

TEST(CpuObserver, ReadsThePressureOfTheKernel) {
  EXPECT_NEAR(pressed_seconds("some avg10=1.35 avg60=37.49 avg300=68.95 total=24179837060\nfull avg10=0.00 avg60=0.00 "
                              "avg300=0.00 total=7\n")
                  .value(),
              24179.837, 1e-3);
  for (const char* text : {"", "full avg10=0.00 total=7", "some avg10=1.35", "some avg10=1 total=", "some total=x"}) {
    EXPECT_FALSE(pressed_seconds(text)) << text;
  }
}

}  // namespace
}  // namespace skep::engine
