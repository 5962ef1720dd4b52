#include "mind/language/grading.h"

#include <gtest/gtest.h>

namespace skep::language {
namespace {

TEST(Grading, TextCountsWithoutTheWhiteSpaceAroundIt) {
  EXPECT_TRUE(says(" ok: load 12 is below 40 \n", "ok: load 12 is below 40"));
  EXPECT_FALSE(says("ok: load 12 is below 41", "ok: load 12 is below 40"));
  EXPECT_FALSE(says("", "ok"));
}

TEST(Grading, StepsMayStandBeforeTheAnswer) {
  EXPECT_TRUE(says("3 lines are critical\n3 > 2\nyes\n", "yes"));
  EXPECT_FALSE(says("yes\nno", "yes"));
}

TEST(Grading, JsonIsComparedAsJson) {
  EXPECT_TRUE(says("{\"b\": 2, \"a\": [1, 2]}", R"({"a":[1,2],"b":2})"));
  EXPECT_TRUE(says("the fields are\n{\"a\":1}", "{\"a\": 1}"));
  EXPECT_FALSE(says("{\"a\":\"1\"}", "{\"a\":1}"));
  EXPECT_FALSE(says("{\"a\":1", "{\"a\":1}"));
}

TEST(Grading, AnAnswerOverSeveralLinesHasToBeTheWholeAnswer) {
  EXPECT_TRUE(says("first\nsecond\n", "first\nsecond"));
  EXPECT_FALSE(says("second", "first\nsecond"));
}

}  // namespace
}  // namespace skep::language
