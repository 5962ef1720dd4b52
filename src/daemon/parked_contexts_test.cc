#include "daemon/parked_contexts.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/simulated_event_loop.h"
#include "daemon/parked_folder.h"
#include "daemon/testing_parked.h"
#include "store/testing_folder.h"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;

class ParkedContextsTest : public ::testing::Test {
 protected:
  ParkedContextsTest() {
    for (const std::string name : {"ann", "bob"}) {
      agent::AgentState state;
      state.was_active(WallTime(std::chrono::hours(1)));
      EXPECT_TRUE(agents_.save(name, state));
    }
  }
  [[nodiscard]] std::string parked() const { return folder_ / "parked"; }
  std::string park(const std::string& owner, const std::string& model, int begin, int end, const std::string& cells) {
    return daemon::park(parked(), model, owner, count_to(end), begin, cells);
  }
  ParkedFiles noted(const std::string& agent) { return agents_.load(agent)->parked(); }
  void pass() {
    loop_.run_ready();
    loop_.advance(std::chrono::seconds(1));
    loop_.run_ready();
  }
  int64_t updates() { return store_->usage().updates; }

  store::TestingFolder folder_;
  std::unique_ptr<store::Store> store_ = *store::Store::open({.folder = folder_ / "state"});
  agent::AgentStore agents_{*store_};
  SimulatedEventLoop loop_;
  std::set<std::string> awake_;
  ParkedContexts contexts_{
      {loop_, parked(), agents_, [this](const std::string& agent) { return !awake_.contains(agent); }}};
};

TEST_F(ParkedContextsTest, WhatIsParkedOfAnAgentIsNotedWhenItSleepsAndWrittenOnce) {
  const std::string first = park("ann", "m1", 0, 30, "cells");
  const std::string second = park("ann", "m2", 30, 40, "more cells");
  park("", "m1", 0, 9, "nobody's");
  park("bob", "m1", 0, 20, "bob's");
  contexts_.slept("ann");
  EXPECT_TRUE(noted("ann").empty()) << "not on the loop";
  pass();
  EXPECT_EQ(noted("ann"), (ParkedFiles{{first, {"m1", 0, 30, 5_B}}, {second, {"m2", 30, 10, 10_B}}}));
  EXPECT_TRUE(noted("bob").empty()) << "it is awake, for all we know";
  const int64_t before = updates();
  contexts_.slept("ann");
  pass();
  EXPECT_EQ(updates(), before) << "nothing has changed";
  fs::remove(fs::path(parked()) / "m1" / first);
  contexts_.slept("ann");
  contexts_.slept("bob");
  pass();
  EXPECT_EQ(noted("ann").size(), 1U);
  EXPECT_EQ(noted("bob").size(), 1U);
}

TEST_F(ParkedContextsTest, AnAgentThatWokeAgainIsLeftAlone) {
  park("ann", "m1", 0, 30, "cells");
  contexts_.slept("ann");
  awake_.insert("ann");
  pass();
  EXPECT_TRUE(noted("ann").empty());
}

TEST_F(ParkedContextsTest, AtTheStartAllAreNotedButThoseThatNobodyRemembers) {
  park("ann", "m1", 0, 30, "cells");
  park("forgotten", "m1", 0, 31, "cells");
  contexts_.note_all();
  pass();
  EXPECT_EQ(noted("ann").size(), 1U);
  EXPECT_TRUE(noted("forgotten").empty());
  EXPECT_EQ(agents_.agents()->size(), 2U);
}

TEST_F(ParkedContextsTest, ANoteIsNotBelievedOverTheFile) {
  const std::string name = park("ann", "m1", 0, 30, "cells");
  contexts_.note_all();
  pass();
  const ParkedFiles files = noted("ann");
  EXPECT_EQ(still_parked(parked(), files), files);
  const fs::path path = fs::path(parked()) / "m1" / name;
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(30).put('!');
  EXPECT_TRUE(still_parked(parked(), files).empty()) << "its header is damaged";
  fs::remove(path);
  EXPECT_TRUE(still_parked(parked(), files).empty()) << "it is gone";
}

}  // namespace
}  // namespace skep::daemon
