#include "engine/prefix_tree.h"

#include <gtest/gtest.h>

namespace skep::engine {
namespace {

std::vector<Token> text(const std::string& s) { return {s.begin(), s.end()}; }

Scope with_public(const char* own, int tokens) {
  Scope scope(own);
  scope.open = "public";
  scope.open_tokens = tokens;
  return scope;
}

class PrefixTreeTest : public ::testing::Test {
 protected:
  // "house rules" is public, and two callers went on behind it.
  PrefixTreeTest() {
    PrefixNode& shared = add(root(), "public", "house rules");
    a_ = &add(shared, "a", " secret");
    b_ = &add(shared, "b", " search");
  }
  PrefixNode& root() { return *tree_.match("", {}).node; }
  PrefixNode& add(PrefixNode& parent, const std::string& scope, const std::string& tokens) {
    return tree_.add(parent, scope, text(tokens));
  }
  PrefixTree tree_;
  PrefixNode *a_, *b_;
};

TEST_F(PrefixTreeTest, WhatFollowsAPublicBeginningIsFoundByItsCallerOnly) {
  const auto all = text("house rules secret");
  EXPECT_EQ(tree_.match(with_public("a", 11), all).node, a_);
  EXPECT_EQ(tree_.match(with_public("a", 11), all).tokens, 18);
  EXPECT_EQ(tree_.match(with_public("b", 11), all).tokens, 11 + 3) << "its own \" se\", not the other's";
  EXPECT_EQ(tree_.match(with_public("c", 11), all).tokens, 11);
}

TEST_F(PrefixTreeTest, WhoCallsNothingPublicFindsNothingOfIt) {
  EXPECT_EQ(tree_.match("a", text("house rules secret")).tokens, 0);
  EXPECT_EQ(tree_.match("public", text("house rules secret")).tokens, 11) << "the scope itself";
}

TEST_F(PrefixTreeTest, APublicNodeIsUsedAsFarAsItIsPublicToWhoAsks) {
  const auto found = tree_.match(with_public("a", 5), text("house rules secret"));
  EXPECT_EQ(found.tokens, 5);
  EXPECT_EQ(found.node->size(), 11);
}

TEST_F(PrefixTreeTest, SplittingKeepsScopes) {
  tree_.split(*a_->parent, 5);
  tree_.split(*a_, 14);
  EXPECT_EQ(tree_.match(with_public("a", 11), text("house rules secret")).tokens, 18);
  EXPECT_EQ(tree_.match(with_public("b", 11), text("house rules search")).tokens, 18);
  EXPECT_EQ(tree_.match(with_public("c", 11), text("house rules secret")).tokens, 11);
  EXPECT_EQ(tree_.nodes(), 5);
}

TEST_F(PrefixTreeTest, RemovingOneCallersNodeLeavesTheOthers) {
  tree_.remove(*a_);
  EXPECT_EQ(tree_.match(with_public("a", 11), text("house rules secret")).tokens, 11);
  EXPECT_EQ(tree_.match(with_public("b", 11), text("house rules search")).tokens, 18);
}

}  // namespace
}  // namespace skep::engine
