#include "daemon/parked_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "daemon/testing_parked.h"
#include "engine/scope.h"
#include "store/testing_folder.h"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;
using Tokens = std::vector<engine::Token>;

class ForgetParked : public ::testing::Test {
 protected:
  std::string put(const std::string& owner, Tokens tokens, int begin = 0, const std::string& scope = "") {
    return park(folder_.path(), "m", owner, std::move(tokens), begin, "cells", scope);
  }
  [[nodiscard]] std::set<std::string> left() const {
    std::set<std::string> names;
    for (const auto& file : fs::recursive_directory_iterator(folder_.path())) {
      if (file.is_regular_file()) names.insert(file.path().filename());
    }
    return names;
  }

  store::TestingFolder folder_;
};

TEST_F(ForgetParked, TheAgentsOwnGoesAndThatOfOthersStays) {
  put("ann", {1, 2, 3});
  put("ann", {1, 2, 3, 4}, 3);
  const std::string bobs = put("bob", {1, 2, 9}, 2);
  const std::string elsewhere = park(folder_.path(), "m2", "bob", {5});
  park(folder_.path(), "m2", "ann", {6});
  ASSERT_TRUE(forget_parked(folder_.path(), "ann"));
  EXPECT_EQ(left(), (std::set<std::string>{bobs, elsewhere}));
}

TEST_F(ForgetParked, APreambleStaysWhereAnothersContextBeginsWithIt) {
  const std::string preamble = put("", {1, 2});
  const std::string bobs = put("bob", {1, 2, 9}, 2);
  put("ann", {1, 2, 3}, 2);
  ASSERT_TRUE(forget_parked(folder_.path(), "ann"));
  EXPECT_EQ(left(), (std::set<std::string>{preamble, bobs}));
  ASSERT_TRUE(forget_parked(folder_.path(), "bob"));
  EXPECT_EQ(left(), std::set<std::string>()) << "nobody's who is left";
}

TEST_F(ForgetParked, WhatIsNobodysAndInNobodyElsesContextMayBeTheAgents) {
  put("", {1, 2, 3});  // two had it, as one said what the other had
  put("", {7, 8});     // a summary of what somebody said
  const std::string bobs = put("bob", {1, 2});
  put("bob", {7}, 0);
  ASSERT_TRUE(forget_parked(folder_.path(), "ann"));
  const auto there = left();
  EXPECT_EQ(there.size(), 2U);
  EXPECT_TRUE(there.contains(bobs));
}

TEST_F(ForgetParked, WhatIsPublicStays) {
  const engine::Scope open(std::string(engine::kPublicScope) + "\nadapter|1");
  const std::string kept = put("", {1, 2, 3}, 0, engine::to_text(open));
  put("", {1, 2, 3, 4}, 3,
      "\x1f"
      "3 7 \x1fpublickey");
  ASSERT_TRUE(forget_parked(folder_.path(), "ann"));
  EXPECT_EQ(left(), std::set<std::string>{kept});
}

TEST_F(ForgetParked, WhatCantBeReadMayBeAnybodysAndGoes) {
  const std::string bobs = put("bob", {1, 2});
  const fs::path damaged = fs::path(folder_.path()) / "m" / put("bob", {3, 4});
  std::fstream(damaged, std::ios::in | std::ios::out | std::ios::binary).seekp(30).put('!');
  std::ofstream(fs::path(folder_.path()) / "m" / "half.part") << "half written";
  ASSERT_TRUE(forget_parked(folder_.path(), "ann"));
  EXPECT_EQ(left(), std::set<std::string>{bobs});
}

TEST_F(ForgetParked, NothingParkedIsNothingToForget) { EXPECT_TRUE(forget_parked(folder_ / "none", "ann")); }

}  // namespace
}  // namespace skep::daemon
