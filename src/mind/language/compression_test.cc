#include "mind/language/compression.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "mind/language/protected_spans.h"

namespace skep::language {
namespace {

std::string covered(std::string_view text, Protection why) {
  std::string all;
  for (const ProtectedSpan& span : protected_spans(text)) {
    if (span.why == why) all += (all.empty() ? "" : "|") + std::string(text.substr(span.begin, span.end - span.begin));
  }
  return all;
}

TEST(ProtectedSpans, FindCodeInItsForms) {
  EXPECT_EQ(covered("Run `make  all` now", Protection::code), "`make  all`");
  EXPECT_EQ(covered("Look:\n```cpp\nint  a;\n\nplease();\n```\nand please go", Protection::code),
            "```cpp\nint  a;\n\nplease();\n```");
  EXPECT_EQ(covered("Look:\n```\nnever closed, please", Protection::code), "```\nnever closed, please");
  EXPECT_EQ(covered("Look:\n\n    please  indent\n    more\n\nend", Protection::code), "    please  indent|    more");
  EXPECT_EQ(covered("call max_size or std::move or f(x) with --flag", Protection::code),
            "max_size|std::move|f(x)|--flag");
}

TEST(ProtectedSpans, FindNumbersWithTheirUnits) {
  EXPECT_EQ(covered("heat 3.5 kg to 80 degrees by 2026-11-21, 10:30", Protection::number),
            "3.5 kg|80|2026-11-21|10:30");
  EXPECT_EQ(covered("about -5 or v1.2 or 50%", Protection::number), "-5 or|v1.2 or|50%");
}

TEST(ProtectedSpans, FindQuotesUrlsAndJson) {
  EXPECT_EQ(covered("say \"very  well\" and 'just so', it's 'ok'", Protection::quote), "\"very  well\"|'just so'|'ok'");
  EXPECT_EQ(covered("> quoted  please\nnot", Protection::quote), "> quoted  please");
  EXPECT_EQ(covered("see https://a.b/c?d=the and www.x.org or me@x.org or /etc/the/hosts or read.me.", Protection::url),
            "https://a.b/c?d=the|www.x.org|me@x.org|/etc/the/hosts|read.me");
  EXPECT_EQ(covered("use {\"please\": [1, {\"a\": \"the }\"}]} here", Protection::json),
            "{\"please\": [1, {\"a\": \"the }\"}]}");
  EXPECT_EQ(covered("an [aside] is none", Protection::json), "");
  EXPECT_EQ(covered("I do not, don't and never", Protection::negation), "not|don't|never");
}

TEST(CompressByRules, LeavesOutMoreTheSmallerTheTier) {
  const std::string text = "Could you please explain the engine  very briefly? Thank you!";
  EXPECT_EQ(compress_by_rules(text, Tier::deep).text(), "Could you please explain the engine very briefly? Thank you!");
  EXPECT_EQ(compress_by_rules(text, Tier::balanced).text(), "explain the engine briefly?!");
  EXPECT_EQ(compress_by_rules(text, Tier::fast).text(), "explain engine briefly?!");
}

TEST(CompressByRules, CutsWhatWasSaidBeforeAndSaysWhy) {
  const std::string text = "The reactor is to be kept cool. Watch it.\nThe reactor is to be kept cool. Go on.";
  const Compressed c = compress_by_rules(text, Tier::deep);
  EXPECT_EQ(c.text(), "The reactor is to be kept cool. Watch it.\n Go on.");
  ASSERT_EQ(c.pieces.size(), 3U);
  EXPECT_STREQ(c.pieces[1].cut, "repeated");
  EXPECT_LT(c.tokens_after, c.tokens_before);
}

TEST(CompressByRules, TouchesNothingThatIsProtected) {
  const std::string text =
      "Please translate \"please,  the  cat\" with `the  a` and\n\n    a  please the\n\n{\"the\": \"a  please\"} at "
      "https://the.a/please by 10  the 20";
  const std::string out = compress_by_rules(text, Tier::fast).text();
  for (const char* kept : {"\"please,  the  cat\"", "`the  a`", "    a  please the", "{\"the\": \"a  please\"}",
                           "https://the.a/please", "10", "20"}) {
    EXPECT_NE(out.find(kept), out.npos) << kept << " in " << out;
  }
  EXPECT_EQ(compress_by_rules("a just-in-time, a/b and kindness", Tier::fast).text(), "just-in-time, a/b and kindness");
}

// Tokens of a text: each word with the space before it; common words are likely.
std::vector<engine::TokenLogprob> tokens_of(const std::string& text, const std::map<std::string, float>& likely) {
  std::vector<engine::TokenLogprob> tokens;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    while (end < text.size() && text[end] != ' ' && text[end] != '\n' && text[end] != '.') ++end;
    std::string token = text.substr(at, end - at);
    const std::string word = token.front() == ' ' ? token.substr(1) : token;
    const auto found = likely.find(word);
    tokens.push_back({token, found == likely.end() ? -6.0F : found->second, {}});
    at = end;
  }
  return tokens;
}

TEST(CompressByInformation, LeavesOutThePredictableUntilTheSizeIsReached) {
  const std::string text = "the pump in the cellar of the house has lost its pressure.";
  const auto tokens = tokens_of(text, {{"the", -0.1F}, {"of", -0.2F}, {"in", -0.3F}, {"its", -0.4F}, {"has", -0.5F}});
  ASSERT_EQ(tokens.size(), 13U);
  const Compressed c = compress_by_information(text, tokens, 0.6);
  EXPECT_TRUE(c.reached);
  EXPECT_EQ(c.tokens_before, 13);
  EXPECT_EQ(c.tokens_after, 7);
  EXPECT_EQ(c.text(), " pump cellar house has lost pressure.");
  EXPECT_EQ(compress_by_information(text, tokens, 1).text(), text);
}

TEST(CompressByInformation, KeepsWhatIsProtectedAndSaysWhenThatIsTooMuch) {
  const std::string text = "set \"the the the\" to 5 not 6";
  const auto tokens = tokens_of(text, {{"the", -0.01F}, {"5", -0.01F}, {"not", -0.01F}});
  const Compressed c = compress_by_information(text, tokens, 0.2);
  EXPECT_FALSE(c.reached);
  EXPECT_EQ(c.text(), " \"the the the\" 5 not 6");
}

TEST(CompressByInformation, TokensOfAnotherTextCutNothing) {
  const Compressed c = compress_by_information("a text", tokens_of("another text", {}), 0.5);
  EXPECT_EQ(c.text(), "a text");
  EXPECT_FALSE(c.reached);
}

// Whatever the text: pieces make it up, protected bytes stay, in order.
TEST(Compression, PiecesMakeUpTheTextAndProtectedSpansStay) {
  std::mt19937 random(1);
  const std::vector<std::string> parts = {"please ",
                                          "the ",
                                          "very ",
                                          "\n",
                                          "\n\n\n",
                                          "   ",
                                          "`code the`",
                                          "\"quote the\"",
                                          "3.5 kg ",
                                          "{\"a\": 1}",
                                          "```\nthe a\n```\n",
                                          "not ",
                                          "word ",
                                          "ünï ",
                                          "http://x.y/the ",
                                          "'",
                                          "\"",
                                          "{",
                                          "`",
                                          "> q\n",
                                          "    the\n",
                                          ". "};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) text += parts[random() % parts.size()];
    const auto check = [&](const Compressed& c) {
      std::string whole;
      std::vector<bool> kept;
      for (const auto& piece : c.pieces) {
        whole += piece.text;
        kept.insert(kept.end(), piece.text.size(), piece.cut == nullptr);
      }
      ASSERT_EQ(whole, text);
      size_t last = 0;
      for (const ProtectedSpan& span : protected_spans(text)) {
        ASSERT_LE(last, span.begin);
        ASSERT_LT(span.begin, span.end);
        ASSERT_LE(span.end, text.size());
        last = span.end;
        for (size_t i = span.begin; i < span.end; ++i) ASSERT_TRUE(kept[i]) << text;
      }
    };
    for (const Tier tier : kAllTiers) check(compress_by_rules(text, tier));
    check(compress_by_information(text, tokens_of(text, {}), 0.3));
  }
}

}  // namespace
}  // namespace skep::language
