#include "mind/belief/golden.h"

#include <gtest/gtest.h>

namespace skep::belief {
namespace {

TEST(Golden, EveryCaseOfPymdpAgrees) {
  auto report = run_goldens(SKEP_TEST_DATA "/golden/belief");
  ASSERT_TRUE(report.has_value()) << report.error().text();
  EXPECT_EQ(report->failed, 0) << report->text();
  EXPECT_GE(report->passed, 26);
  EXPECT_LT(report->worst.at("f64 qs"), 1e-12);
}

TEST(Golden, AFolderThatIsNotThereIsAnError) { EXPECT_FALSE(run_goldens("/nowhere/at/all").has_value()); }

}  // namespace
}  // namespace skep::belief
