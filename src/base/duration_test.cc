#include "base/duration.h"

#include <gtest/gtest.h>

namespace skep {
namespace {

using namespace std::chrono_literals;

TEST(Duration, IsReadInEveryUnitAndInSums) {
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("5m"), 5min);
  EXPECT_EQ(parse_duration("1h30m"), 90min);
  EXPECT_EQ(parse_duration("2d"), 48h);
  EXPECT_EQ(parse_duration("20us"), 20us);
  EXPECT_EQ(parse_duration("-1s"), -1s);
  EXPECT_EQ(parse_duration("30"), 30s);
  EXPECT_EQ(parse_duration("0"), 0s);
}

TEST(Duration, ThatIsNoneIsRefused) {
  for (const char* text : {"", "-", "m", "5x", "5 m", "1m30", "--5s", "1-5s", "nan", "inf", "1e3s", "5s 6"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  EXPECT_FALSE(parse_duration("999999999999d"));
}

TEST(Duration, IsShownInTheUnitThatSuits) {
  EXPECT_EQ(to_string(Duration(820ns)), "820 ns");
  EXPECT_EQ(to_string(Duration(12345us)), "12.3 ms");
  EXPECT_EQ(to_string(Duration(4500ms)), "4.50 s");
  EXPECT_EQ(to_string(Duration(200s)), "3 m 20 s");
  EXPECT_EQ(to_string(Duration(125min)), "2 h 05 m");
  EXPECT_EQ(to_string(Duration(50h)), "2 d 02 h");
  EXPECT_EQ(to_string(Duration(-5s)), "-5.00 s");
}

}  // namespace
}  // namespace skep
