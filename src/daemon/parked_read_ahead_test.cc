#include "daemon/parked_read_ahead.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/simulated_event_loop.h"
#include "daemon/parked_folder.h"
#include "daemon/testing_parked.h"
#include "store/testing_folder.h"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;

class ParkedReadAheadTest : public ::testing::Test {
 protected:
  // As it is noted of an agent. The file's path.
  std::string note(ParkedFiles& files, int tokens, const std::string& cells) {
    const std::string name = park(folder_.path(), "m1", "ann", count_to(tokens), 0, cells);
    files[name] = {"m1", 0, tokens, Bytes(static_cast<int64_t>(cells.size()))};
    return (fs::path(folder_.path()) / "m1" / name).string();
  }

  store::TestingFolder folder_;
  SimulatedEventLoop loop_;
  Bytes room_ = 1_MiB;
  int asked_ = 0;
  std::vector<std::string> read_;
  ParkedReadAhead ahead_{{loop_, folder_.path(),
                          [this] {
                            ++asked_;
                            return room_;
                          },
                          [this](const std::string& path) {
                            read_.push_back(path);
                            return fs::exists(path);
                          }}};
};

TEST_F(ParkedReadAheadTest, AWakeReadsTheAgentsFilesOffTheLoop) {
  ParkedFiles ann;
  const std::set<std::string> files = {note(ann, 30, "cells"), note(ann, 40, "more")};
  ahead_.woke(ann);
  EXPECT_TRUE(read_.empty()) << "not on the loop";
  loop_.run_ready();
  EXPECT_EQ(std::set<std::string>(read_.begin(), read_.end()), files);
  EXPECT_EQ(ahead_.counters().files, 2);
  EXPECT_EQ(ahead_.counters().bytes, 9_B);
}

TEST_F(ParkedReadAheadTest, ASleeperThatWasForgottenMeanwhileIsHarmless) {
  ParkedFiles ann;
  note(ann, 30, "cells");
  ahead_.woke(ann);
  ASSERT_TRUE(forget_parked(folder_.path(), "ann"));
  loop_.run_ready();
  EXPECT_EQ(read_.size(), 1U);
  EXPECT_EQ(ahead_.counters().files, 0);
  EXPECT_EQ(ahead_.counters().left_out, 0);
}

TEST_F(ParkedReadAheadTest, NoMoreIsReadThanThereIsRoomFor) {
  ParkedFiles large, small;
  note(large, 30, std::string(700, 'a'));
  const std::string file = note(small, 20, std::string(200, 'b'));
  room_ = 500_B;
  ahead_.woke(large);
  loop_.run_ready();
  EXPECT_TRUE(read_.empty());
  ahead_.woke(small);
  loop_.run_ready();
  EXPECT_EQ(read_, std::vector<std::string>{file});
  EXPECT_EQ(ahead_.counters().left_out, 1);
  room_ = Bytes(-5);
  ahead_.woke(small);
  loop_.run_ready();
  EXPECT_EQ(read_.size(), 1U);
}

TEST_F(ParkedReadAheadTest, WhereNothingIsParkedNothingIsDone) {
  ahead_.woke({});
  loop_.run_ready();
  EXPECT_EQ(asked_, 0);
}

TEST_F(ParkedReadAheadTest, ManyThatWakeAtOnceAreBounded) {
  ParkedFiles one;
  note(one, 30, "cells");
  ahead_.woke(one);  // under way
  for (size_t i = 0; i < ParkedReadAhead::kMostWaiting + 10; ++i) ahead_.woke(one);
  EXPECT_EQ(ahead_.counters().left_out, 10);
  loop_.run_ready();
  EXPECT_EQ(read_.size(), ParkedReadAhead::kMostWaiting + 1);
  EXPECT_EQ(asked_, 2) << "two passes";
}

TEST_F(ParkedReadAheadTest, ANoteThatLeadsElsewhereIsNotFollowed) {
  ahead_.woke({{"../../secret", {"m1", 0, 1, 1_B}}, {"file.kv", {"..", 0, 1, 1_B}}, {"", {"m1", 0, 1, 1_B}}});
  loop_.run_ready();
  EXPECT_TRUE(read_.empty());
}

TEST(RoomToReadAhead, IsBounded) {
  EXPECT_GE(room_to_read_ahead(), Bytes(0));
  EXPECT_LE(room_to_read_ahead(), 256_MiB);
}

}  // namespace
}  // namespace skep::daemon
