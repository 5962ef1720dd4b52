// kill -9 at random instants: nothing acknowledged is lost, nothing is half there.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/crash_trial.h"
#include "store/testing_folder.h"

namespace skep::store {
namespace {

TEST(StoreCrash, LosesNothingAcknowledgedWhenKilledAtFiftyRandomInstants) {
  TestingFolder folder;
  CrashTrials trials({.folder = folder.path(), .trials = 50, .seed = 7});
  auto result = trials.run();
  ASSERT_TRUE(result) << result.error().text();
  EXPECT_EQ(result->lost, 0);
  EXPECT_EQ(result->torn, 0);
  EXPECT_GT(result->acknowledged, 1000) << "the children did not get to write";
  EXPECT_GT(result->killed_writing, 25) << "the kills did not hit children at work";
}

// Does `work` with the store in a process that then dies without closing it.
void live_and_die(const std::string& folder, const std::function<bool(Store&)>& work) {
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto store = Store::open({.folder = folder});
    ::_exit(store && work(**store) ? 0 : 1);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
}

// The kills found it: a flush begins a new generation of the journal; if nothing is written to that one before the
// process dies, the next process's writes stand behind an empty generation.
TEST(StoreCrash, WhatStandsBehindAnEmptyGenerationIsReplayed) {
  TestingFolder folder;
  live_and_die(folder.path(), [](Store& store) { return store.put("s", "a", "1") && store.flush(); });
  live_and_die(folder.path(), [](Store& store) { return store.put("s", "b", "2").has_value(); });
  live_and_die(folder.path(), [](Store& store) { return store.put("s", "c", "3").has_value(); });
  auto store = Store::open({.folder = folder.path()});
  ASSERT_TRUE(store);
  EXPECT_EQ(*(*store)->get("s", "a"), "1");
  EXPECT_EQ(*(*store)->get("s", "b"), "2");
  EXPECT_EQ(*(*store)->get("s", "c"), "3");
}

}  // namespace
}  // namespace skep::store
