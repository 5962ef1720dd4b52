#include "base/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace skep {
namespace {

const std::vector<std::string> kWords{"budget", "listen", "log_level", "roster", "tiers"};

TEST(Nearest, ForgivesSlipsOfTheFingers) {
  EXPECT_EQ(nearest("buget", kWords), "budget");
  EXPECT_EQ(nearest("lisetn", kWords), "listen");
  EXPECT_EQ(nearest("Log-Level", kWords), "log_level");
  EXPECT_EQ(nearest("tier", kWords), "tiers");
}

TEST(Nearest, GivesNoneForAnotherWord) {
  EXPECT_EQ(nearest("banana", kWords), std::nullopt);
  EXPECT_EQ(nearest("", kWords), std::nullopt);
  EXPECT_EQ(nearest("x", kWords), std::nullopt);
  EXPECT_EQ(nearest(std::string(5000, 'b'), kWords), std::nullopt);
  EXPECT_EQ(did_you_mean("banana", kWords), "");
}

TEST(Nearest, PrefersTheFewestSlips) {
  const std::vector<std::string> words{"fats", "fast"};
  EXPECT_EQ(nearest("fast", words), "fast");
}

}  // namespace
}  // namespace skep
