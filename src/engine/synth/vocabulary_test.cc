#include "engine/synth/vocabulary.h"

#include <gtest/gtest.h>

#include <unordered_set>

namespace skep::synth {
namespace {

TEST(Vocabulary, HasExactlyTheSizeAskedForWithoutADuplicate) {
  for (int size : {512, 1024, 49152, 152064}) {
    const Vocabulary v = make_vocabulary(size);
    EXPECT_EQ(v.tokens.size(), static_cast<size_t>(size));
    EXPECT_EQ(v.types.size(), static_cast<size_t>(size));
    EXPECT_EQ(std::unordered_set<std::string>(v.tokens.begin(), v.tokens.end()).size(), v.tokens.size());
  }
}

TEST(Vocabulary, HoldsEveryByteSoThatAnythingCanBeTokenized) {
  const Vocabulary v = make_vocabulary(512);
  const std::unordered_set<std::string> tokens(v.tokens.begin(), v.tokens.end());
  for (int b = 0; b < 256; ++b) EXPECT_TRUE(tokens.contains(stand_in(std::string(1, static_cast<char>(b))))) << b;
}

TEST(Vocabulary, JoinsOnlyTokensIntoTokens) {
  const Vocabulary v = make_vocabulary(49152);
  const std::unordered_set<std::string> tokens(v.tokens.begin(), v.tokens.end());
  for (const std::string& merge : v.merges) {
    const size_t gap = merge.find(' ');
    ASSERT_NE(gap, std::string::npos);
    const std::string left = merge.substr(0, gap), right = merge.substr(gap + 1);
    ASSERT_TRUE(tokens.contains(left) && tokens.contains(right) && tokens.contains(left + right)) << merge;
  }
}

TEST(Vocabulary, NeedsNoUnusedTokenInTheSizesOfRealModels) {
  const Vocabulary v = make_vocabulary(152064);
  EXPECT_EQ(std::count(v.types.begin(), v.types.end(), static_cast<int32_t>(TokenType::unused)), 0);
}

TEST(Vocabulary, KnowsCommonWordsAsOneToken) {
  const Vocabulary v = make_vocabulary(8192);
  const std::unordered_set<std::string> tokens(v.tokens.begin(), v.tokens.end());
  for (const char* word : {" the", " server", " temperature", " recommendation", "The"}) {
    EXPECT_TRUE(tokens.contains(stand_in(word))) << word;
  }
}

TEST(Vocabulary, IsTheSameEveryTime) {
  const Vocabulary a = make_vocabulary(4096), b = make_vocabulary(4096);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.merges, b.merges);
}

TEST(StandIn, SpellsBytesAsGpt2Does) {
  EXPECT_EQ(stand_in("a b\n"), "aĠbĊ");
  EXPECT_EQ(stand_in("é"), "Ã©");
  EXPECT_EQ(stand_in(std::string(1, '\0')), "Ā");
}

}  // namespace
}  // namespace skep::synth
