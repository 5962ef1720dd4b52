#include "cli/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(TableTest, ColumnsAreAlignedAndNumbersStandRight) {
  Table table({{"name", Table::Align::left}, {"n", Table::Align::right}});
  table.row({"a", "1"});
  table.row({"längste", "1,000"});
  EXPECT_EQ(table.text(80, false), "name         n\na            1\nlängste  1,000\n");
}

TEST(TableTest, TheWidestTextGivesWaySoThatARowFitsTheTerminal) {
  Table table({{"what", Table::Align::left}, {"n", Table::Align::right}});
  table.row({std::string(200, 'x'), "7"});
  std::string text = table.text(40, false);
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    EXPECT_LE(end - begin, 42U);  // the ellipsis is three bytes in one column
    begin = end + 1;
  }
  EXPECT_THAT(text, HasSubstr("…"));
  EXPECT_THAT(text, HasSubstr("7"));
}

TEST(TableTest, TextGoesOnBelowWhereNothingMayBeLost) {
  Table table({{"what", Table::Align::left}, {"n", Table::Align::right}, {"why", Table::Align::left}},
              Table::Long::wrapped);
  table.row({"a", "1", "because it is so"});
  table.row({"b", "22", "short"});
  EXPECT_EQ(table.text(18, false),
            "what   n  why\n"
            "a      1  because\n"
            "          it is so\n"
            "b     22  short\n");
  EXPECT_EQ(table.text(80, false),
            "what   n  why\n"
            "a      1  because it is so\n"
            "b     22  short\n");
}

TEST(TableTest, WideColumnsGiveWayTogether) {
  Table table({{"n", Table::Align::right}, {"one", Table::Align::left}, {"two", Table::Align::left}});
  table.row({"1", std::string(30, 'x'), std::string(30, 'y')});
  EXPECT_EQ(table.text(43, false),
            "n  one                  two\n1  " + std::string(18, 'x') + "…  " + std::string(18, 'y') + "…\n");
}

TEST(TerminalTest, CountsReadEasily) {
  EXPECT_EQ(human_count(1234567), "1,234,567");
  EXPECT_EQ(human_count(-999), "-999");
}

TEST(TerminalTest, EachKindOfErrorHasItsExitCode) {
  EXPECT_EQ(report({ErrorCode::invalid_argument, "x", ""}), kUsage);
  EXPECT_EQ(report({ErrorCode::unavailable, "x", ""}), kUnavailable);
  EXPECT_EQ(report({ErrorCode::internal, "x", ""}), kFailed);
  EXPECT_EQ(report({ErrorCode::cancelled, "x", ""}), kInterrupted);
}

}  // namespace
}  // namespace skep::cli
