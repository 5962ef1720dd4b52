#include "base/process_cpu.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace skep {
namespace {

double own_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

TEST(ProcessCpu, IsWhatTheKernelAccountsTo) {
  const double begin = own_seconds();
  while (own_seconds() < begin + 0.1) {
  }
  const double before = own_seconds();
  const auto seen = process_cpu_seconds(getpid());
  ASSERT_TRUE(seen);
  EXPECT_GE(*seen, before - 0.05);
  EXPECT_LE(*seen, own_seconds() + 0.05);
}

TEST(ProcessCpu, OfNobodyIsNothing) { EXPECT_FALSE(process_cpu_seconds(0x7fffffff)); }

}  // namespace
}  // namespace skep
