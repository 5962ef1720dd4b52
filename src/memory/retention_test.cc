#include "memory/retention.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "memory/local_facts.h"

namespace skep::memory {
namespace {

using namespace std::chrono_literals;

const WallTime kNoon{std::chrono::hours(24 * 20'000)};

struct RetentionTest : ::testing::Test {
  RetentionTest() {
    LocalFactsOptions options;
    options.folder = folder;
    auto opened = LocalFacts::open(options);
    EXPECT_TRUE(opened);
    store = std::move(*opened);
  }
  ~RetentionTest() override {
    store.reset();
    std::filesystem::remove_all(folder);
  }
  void add(int count, const std::string& tag, WallTime time) {
    for (int i = 0; i < count; ++i) {
      NewFact fact;
      fact.agent = "ann";
      fact.text = fmt::format("{} number {}", tag, made++);
      fact.tags = {tag};
      fact.time = time;
      ASSERT_TRUE(store->add({fact}));
    }
  }
  std::vector<std::string> texts(const std::string& tag) {
    Filter filter;
    filter.tags = {tag};
    std::vector<std::string> all;
    const auto facts = store->list(filter, 0, 1000);
    for (const Fact& fact : *facts) all.push_back(fact.text);
    return all;
  }
  Filter chats() {
    Filter filter;
    filter.tags = {"chat"};
    return filter;
  }

  std::string folder = fmt::format("/tmp/skep-retention-{}", ::getpid());
  std::unique_ptr<LocalFacts> store;
  int made = 0;
};

TEST_F(RetentionTest, KeepsTheNewestOfWhatMatchesAndAllElse) {
  add(5, "chosen", kNoon);
  add(25, "chat", kNoon);
  EXPECT_EQ(*keep_newest(*store, chats(), 20, kNoon - 1h), 5U);
  EXPECT_EQ(texts("chat").size(), 20U);
  EXPECT_EQ(texts("chat").front(), "chat number 10") << "five were chosen, five went";
  EXPECT_EQ(texts("chosen").size(), 5U);
  add(2, "chat", kNoon);
  EXPECT_EQ(*keep_newest(*store, chats(), 20, kNoon - 1h), 0U) << "not for each single one";
}

TEST_F(RetentionTest, WhatIsTooOldGoes) {
  add(3, "chat", kNoon - 48h);
  add(3, "chat", kNoon);
  add(1, "chosen", kNoon - 48h);
  EXPECT_EQ(*keep_newest(*store, chats(), 20, kNoon - 24h), 3U);
  EXPECT_EQ(texts("chat").size(), 3U);
  EXPECT_EQ(texts("chosen").size(), 1U);
}

}  // namespace
}  // namespace skep::memory
