#include "daemon/parked_read_ahead.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "base/simulated_event_loop.h"
#include "daemon/parked_folder.h"
#include "daemon/testing_parked.h"
#include "store/testing_folder.h"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;

class ParkedReadAheadTest : public ::testing::Test {
 protected:
  ParkedReadAheadTest() {
    for (const std::string name : {"ann", "bob"}) sleeper(name);
  }
  void sleeper(const std::string& name) {
    agent::AgentState state;
    state.was_active(WallTime(std::chrono::hours(1)));
    EXPECT_TRUE(agents_.save(name, state));
  }
  // Parked and noted; the file's path.
  std::string park_of(const std::string& agent, int tokens, const std::string& cells) {
    const std::string name = park(parked(), "m1", agent, count_to(tokens), 0, cells);
    EXPECT_TRUE(agents_.note_parked(agent, parked_by_agent(parked())[agent]));
    return (fs::path(parked()) / "m1" / name).string();
  }
  [[nodiscard]] std::string parked() const { return folder_ / "parked"; }

  store::TestingFolder folder_;
  std::unique_ptr<store::Store> store_ = *store::Store::open({.folder = folder_ / "state"});
  agent::AgentStore agents_{*store_};
  SimulatedEventLoop loop_;
  Bytes room_ = 1_MiB;
  int asked_ = 0;
  std::vector<std::string> read_;
  ParkedReadAhead ahead_{{loop_, parked(), agents_,
                          [this] {
                            ++asked_;
                            return room_;
                          },
                          [this](const std::string& path) {
                            read_.push_back(path);
                            return fs::exists(path);
                          }}};
};

TEST_F(ParkedReadAheadTest, AWakeReadsTheAgentsOwnFilesOffTheLoop) {
  const std::string anns = park_of("ann", 30, "cells");
  park_of("bob", 20, "bob's");
  ahead_.woke("ann");
  EXPECT_TRUE(read_.empty()) << "not on the loop";
  loop_.run_ready();
  EXPECT_EQ(read_, std::vector<std::string>{anns});
  EXPECT_EQ(ahead_.counters().files, 1);
  EXPECT_EQ(ahead_.counters().bytes, 5_B);
}

TEST_F(ParkedReadAheadTest, ASleeperThatWasForgottenMeanwhileOrWhoseFileIsGoneIsHarmless) {
  park_of("ann", 30, "cells");
  const std::string bobs = park_of("bob", 20, "bob's");
  ahead_.woke("ann");
  ahead_.woke("bob");
  ASSERT_TRUE(agents_.forget("ann"));
  fs::remove(bobs);
  loop_.run_ready();
  EXPECT_EQ(read_, std::vector<std::string>{bobs}) << "of one nothing is noted, of the other the file is not there";
  EXPECT_EQ(ahead_.counters().files, 0);
  EXPECT_EQ(agents_.agents()->size(), 1U) << "nobody is made by being asked for";
}

TEST_F(ParkedReadAheadTest, NoMoreIsReadThanThereIsRoomFor) {
  park_of("ann", 30, std::string(700, 'a'));
  const std::string small = park_of("bob", 20, std::string(200, 'b'));
  room_ = 500_B;
  ahead_.woke("ann");
  loop_.run_ready();
  EXPECT_TRUE(read_.empty());
  ahead_.woke("bob");
  loop_.run_ready();
  EXPECT_EQ(read_, std::vector<std::string>{small});
  EXPECT_EQ(ahead_.counters().left_out, 1);
  room_ = Bytes(-5);
  ahead_.woke("bob");
  loop_.run_ready();
  EXPECT_EQ(read_.size(), 1U);
}

TEST_F(ParkedReadAheadTest, WhereNothingIsParkedTheMachineIsNotAsked) {
  ahead_.woke("ann");
  loop_.run_ready();
  EXPECT_EQ(asked_, 0);
}

TEST_F(ParkedReadAheadTest, ManyThatWakeAtOnceAreBounded) {
  park_of("ann", 30, "cells");
  ahead_.woke("ann");  // under way
  for (size_t i = 0; i < ParkedReadAhead::kMostWaiting + 10; ++i) ahead_.woke("bob");
  EXPECT_EQ(ahead_.counters().left_out, 10);
  loop_.run_ready();
  EXPECT_EQ(read_.size(), 1U);
}

TEST_F(ParkedReadAheadTest, ANoteThatLeadsElsewhereIsNotFollowed) {
  ASSERT_TRUE(agents_.note_parked("ann", {{"../../secret", {"m1", 0, 1, 1_B}}, {"file.kv", {"..", 0, 1, 1_B}}}));
  ahead_.woke("ann");
  loop_.run_ready();
  EXPECT_TRUE(read_.empty());
}

TEST(RoomToReadAhead, IsBounded) {
  EXPECT_GE(room_to_read_ahead(), Bytes(0));
  EXPECT_LE(room_to_read_ahead(), 256_MiB);
}

}  // namespace
}  // namespace skep::daemon
