#include "engine/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace skep::engine {
namespace {

std::string shown(Answer& answer, const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& token : tokens) {
    if (auto piece = answer.add(7, token, {})) text += piece->text + "|";
    if (answer.stopped()) break;
  }
  return text;
}

TEST(Utf8Stream, ACharacterThatArrivesInPartsIsShownWhole) {
  Utf8Stream stream;
  EXPECT_EQ(stream.feed("a\xE2"), "a");
  EXPECT_EQ(stream.feed("\x82"), "");
  EXPECT_EQ(stream.feed("\xAC!"), "€!");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, BrokenBytesBecomeReplacementCharacters) {
  Utf8Stream stream;
  EXPECT_EQ(stream.feed("\xFFx\xC0\xAFy"), "\uFFFDx\uFFFD\uFFFDy") << "never a lead, overlong";
  EXPECT_EQ(stream.feed("\xE2\x82z"), "\uFFFDz") << "one for the maximal part";
  EXPECT_EQ(stream.feed("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD") << "a surrogate";
  EXPECT_EQ(stream.feed("\xF4\x90"), "\uFFFD\uFFFD") << "over U+10FFFF";
  EXPECT_EQ(stream.feed("\xF0\x9F"), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
}

TEST(Utf8Stream, NulIsNoText) {
  Utf8Stream stream;
  EXPECT_EQ(stream.feed(std::string_view("a\0b", 3)), "a\uFFFDb");
}

TEST(Utf8Stream, HoweverTextIsCutItComesOutTheSame) {
  const std::string text = "naïve € 𝄞 \xF0\x9F\xA6\x99 ok \xC3";
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    Utf8Stream stream;
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random.below(4);
      out += stream.feed(std::string_view(text).substr(at, n));
      at += n;
    }
    EXPECT_EQ(out + stream.finish(), "naïve € 𝄞 \xF0\x9F\xA6\x99 ok \uFFFD");
  }
}

TEST(Answer, AStopStringAcrossTokensIsNeverShown) {
  Answer answer({"END", "\n\n"});
  EXPECT_EQ(shown(answer, {"one E", "N", "D two"}), "one |");
  EXPECT_TRUE(answer.stopped());
  EXPECT_EQ(answer.finish()->text, "") << "only the tokens of the stop string are still to be counted";
}

TEST(Answer, WhatOnlyLooksLikeAStopStringIsShownAsSoonAsItCannotBeOne) {
  Answer answer({"STOP"});
  EXPECT_EQ(shown(answer, {"a ST", "ST", "A"}), "a |ST|STA|");
  EXPECT_FALSE(answer.stopped());
}

TEST(Answer, TheFirstOfSeveralStopStringsCounts) {
  Answer answer({"abc", "b"});
  EXPECT_EQ(shown(answer, {"xab"}), "xa|");
}

TEST(Answer, WhatIsHeldBackComesAtTheEnd) {
  Answer answer({"</tool>"});
  EXPECT_EQ(shown(answer, {"text </to"}), "text |");
  EXPECT_EQ(answer.finish()->text, "</to");
}

TEST(Answer, TokensAndLogprobsTravelWithTheTextTheyMake) {
  Answer answer({});
  EXPECT_FALSE(answer.add(7, "\xE2\x82", TokenLogprob{"\xE2\x82", -1, {}}));
  const auto piece = answer.add(7, "\xAC", TokenLogprob{"\xAC", -2, {}});
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->text, "€");
  EXPECT_EQ(piece->tokens, 2);
  EXPECT_EQ(piece->logprobs.size(), 2U);
  EXPECT_FALSE(answer.finish());
}

TEST(StopDetector, AgreesWithASearchOfTheWholeText) {
  Random random(11);
  const std::vector<std::string> stops = {"aab", "ba", "abba"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (uint32_t n = random.below(12); n > 0; --n) text += random.below(2) != 0 ? 'a' : 'b';
    StopDetector detector(stops);
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random.below(3);
      out += detector.feed(std::string_view(text).substr(at, n));
      at += n;
    }
    out += detector.finish();
    // Pieces of up to 3 bytes: a later stop string may be complete before an earlier, longer one is, so compare with
    // the search in what had arrived when the first was complete.
    size_t first = std::string::npos;
    for (const std::string& stop : stops) first = std::min(first, text.find(stop));
    if (first == std::string::npos) {
      EXPECT_EQ(out, text);
    } else {
      EXPECT_TRUE(detector.stopped());
      EXPECT_TRUE(text.starts_with(out));
      for (const std::string& stop : stops) EXPECT_EQ(out.find(stop), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace skep::engine
