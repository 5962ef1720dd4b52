#include "engine/scope.h"

#include <gtest/gtest.h>

#include <climits>

namespace skep::engine {
namespace {

Scope with_public(std::string own, int tokens, std::string open = "public") {
  Scope scope(std::move(own));
  scope.open = std::move(open);
  scope.open_tokens = tokens;
  return scope;
}

TEST(Scope, TwoCallersShareWhatIsPublicToBothAndNoMore) {
  EXPECT_EQ(shareable("a", "a", 50), 50);
  EXPECT_EQ(shareable("a", "b", 50), 0);
  EXPECT_EQ(shareable(with_public("a", 20), with_public("b", 30), 50), 20);
  EXPECT_EQ(shareable(with_public("a", 20), with_public("b", 20), 5), 5);
  EXPECT_EQ(shareable(with_public("a", 20), with_public("a", 20), 50), 50) << "of one caller: all";
  EXPECT_EQ(shareable(with_public("a", 20), "b", 50), 0);
  EXPECT_EQ(shareable(with_public("a", 20, "x"), with_public("b", 20, "y"), 50), 0) << "with another adapter";
}

TEST(Scope, ComesBackFromItsText) {
  for (const Scope& scope : {Scope("key"), Scope(""), with_public("key\n/a|1", 123, "public\n/a|1"), with_public("", 1),
                             Scope("\x1f"
                                   "3 2 xyz")}) {
    EXPECT_EQ(scope_from(to_text(scope)), scope) << to_text(scope);
  }
  EXPECT_EQ(to_text("key"), "key") << "as it was before there was anything public";
}

TEST(Scope, ATextThatIsNoneIsAName) {
  for (const char* text : {"\x1f",
                           "\x1f"
                           "12",
                           "\x1f"
                           "-1 0 x",
                           "\x1f"
                           "12 99 short",
                           "\x1f"
                           "x 1 y"}) {
    EXPECT_EQ(scope_from(text), Scope(text));
  }
}

}  // namespace
}  // namespace skep::engine
