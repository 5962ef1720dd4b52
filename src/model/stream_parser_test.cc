#include "model/stream_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace skep::model {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Fed in pieces of every size: where the network cuts must not matter.
template <typename Parser>
std::vector<std::string> parts_of(std::string_view text, size_t size) {
  Parser parser;
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size(); at += size) {
    auto fed = parser.feed(text.substr(at, size), [&](std::string_view part) {
      parts.emplace_back(part);
      return true;
    });
    EXPECT_TRUE(fed);
  }
  return parts;
}

TEST(SseParser, JoinsDataLinesAndSkipsTheRestHoweverItIsCut) {
  std::string_view text =
      "\xEF\xBB\xBF"
      "data: one\n\n: a comment\nevent: x\nid: 7\ndata: two\r\ndata:more\r\n\r\n\n\ndata\n\ndata: three\rdata:  "
      "four\r\r"
      "data: unfinished";
  for (size_t size = 1; size <= text.size(); ++size)
    ASSERT_THAT(parts_of<SseParser>(text, size), ElementsAre("one", "two\nmore", "", "three\n four")) << size;
}

TEST(LineSplitter, KnowsEveryLineEndHoweverItIsCut) {
  std::string_view text = "a\nbb\r\n\r\nccc\rd\n";
  for (size_t size = 1; size <= text.size(); ++size)
    ASSERT_THAT(parts_of<LineSplitter>(text, size), ElementsAre("a", "bb", "", "ccc", "d")) << size;
}

TEST(StreamParsers, BoundWhatTheyHold) {
  auto ignore = [](std::string_view) { return true; };
  LineSplitter lines(100_B);
  EXPECT_TRUE(lines.feed(std::string(100, 'x'), ignore));
  EXPECT_EQ(lines.feed("x", ignore).error().code, ErrorCode::too_large);
  SseParser events(100_B);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(events.feed("data: " + std::string(50, 'x') + "\n", ignore));
  EXPECT_EQ(events.feed("data: x\n", ignore).error().code, ErrorCode::too_large);
}

TEST(StreamParsers, StopWhenToldTo) {
  std::vector<std::string> parts;
  SseParser parser;
  ASSERT_TRUE(parser.feed("data: a\n\ndata: [DONE]\n\ndata: b\n\n", [&](std::string_view data) {
    parts.emplace_back(data);
    return data != "[DONE]";
  }));
  EXPECT_THAT(parts, ElementsAre("a", "[DONE]"));
}

TEST(LineSplitter, KeepsAnUnfinishedLineAsRest) {
  LineSplitter lines;
  std::vector<std::string> parts;
  ASSERT_TRUE(lines.feed("{\"a\":1}", [&](std::string_view line) {
    parts.emplace_back(line);
    return true;
  }));
  EXPECT_THAT(parts, IsEmpty());
  EXPECT_EQ(lines.rest(), "{\"a\":1}");
}

}  // namespace
}  // namespace skep::model
