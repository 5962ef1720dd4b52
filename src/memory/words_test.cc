#include "memory/words.h"

#include <gtest/gtest.h>

namespace skep::memory {
namespace {

using Words = std::vector<std::string>;

TEST(Words, AreCutAtWhatIsNoLetterInAnyScript) {
  EXPECT_EQ(words_of("Hello, wörld-9!"), (Words{"hello", "wörld", "9"}));
  EXPECT_EQ(words_of("pump — valve… „Lüfter“"), (Words{"pump", "valve", "lüfter"}));
  EXPECT_EQ(words_of("насос-4, 水泵。泵"), (Words{"насос", "4", "水泵", "泵"}));
  EXPECT_TRUE(words_of(" \"' 🙂 ").empty());
}

TEST(Words, AreInLowerCaseInAnyScript) {
  EXPECT_EQ(words_of("WÖRLD Насос ΑΒΓ"), (Words{"wörld", "насос", "αβγ"}));
  EXPECT_EQ(words_of("cafe\u0301"), Words{"cafe\u0301"}) << "a combining accent belongs to its word";
}

TEST(Words, WhatIsNoUtf8SeparatesThem) {
  EXPECT_EQ(words_of("a\xff"
                     "b\xc3"),
            (Words{"a", "b"}));
  EXPECT_EQ(words_of("a\xc0\x80z\xed\xa0\x80y\xf8\x88\x80\x80\x80x"), (Words{"a", "z", "y", "x"}));
}

}  // namespace
}  // namespace skep::memory
