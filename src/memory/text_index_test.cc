#include "memory/text_index.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "memory/file.h"
#include "store/testing_full_disk.h"

namespace skep::memory {
namespace {

namespace fs = std::filesystem;

class TextIndexTest : public testing::Test {
 protected:
  TextIndexTest() : folder_((fs::temp_directory_path() / fmt::format("skep-text-{}", getpid())).string()) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~TextIndexTest() override { fs::remove_all(folder_); }

  TextIndex open() { return TextIndex::open(folder_ + "/words.sqlite").value(); }
  static Fact fact(FactId id, std::string agent, std::string text, std::vector<std::string> tags = {}) {
    return {id, std::move(agent), std::move(text), "", std::move(tags), {}};
  }
  static std::vector<FactId> found(TextIndex& index, std::vector<std::string> words, const Filter& filter = {}) {
    std::vector<FactId> ids;
    const auto matches = index.search(words, filter, 100).value();
    for (const auto& match : matches) ids.push_back(match.id);
    return ids;
  }

  std::string folder_;
};

using Ids = std::vector<FactId>;

TEST_F(TextIndexTest, FindsByWordsTheRarerOneFirst) {
  TextIndex index = open();
  ASSERT_TRUE(index.add(fact(1, "a", "the pump runs")));
  ASSERT_TRUE(index.add(fact(2, "a", "the valve runs hot")));
  ASSERT_TRUE(index.add(fact(3, "a", "the pump runs, the fan runs")));
  EXPECT_EQ(found(index, {"valve", "runs"}).front(), 2U);
  EXPECT_EQ(found(index, {"nothing"}), Ids());
  EXPECT_EQ(found(index, {"valve"}), Ids{2});
}

TEST_F(TextIndexTest, FiltersByAgentAndTags) {
  TextIndex index = open();
  ASSERT_TRUE(index.add(fact(1, "ann", "pump", {"red"})));
  ASSERT_TRUE(index.add(fact(2, "bob", "pump", {"blue", "red"})));
  ASSERT_TRUE(index.add(fact(3, "", "pump", {"blue"})));
  Filter filter;
  filter.agent = "bob";
  filter.with_shared = false;
  EXPECT_EQ(found(index, {"pump"}, filter), Ids{2});
  filter.with_shared = true;
  EXPECT_EQ(found(index, {"pump"}, filter).size(), 2U);
  filter.tags = {"blue"};
  EXPECT_EQ(found(index, {"pump"}, filter).size(), 2U);
  filter.tags = {"blue", "red"};
  EXPECT_EQ(found(index, {"pump"}, filter), Ids{2});
  EXPECT_TRUE(found(index, {"bob"}).empty()) << "an agent's name is no text";
}

TEST_F(TextIndexTest, WhatWasCommittedIsThereAfterwardsAndWhatWasNotIsNot) {
  {
    TextIndex index = open();
    ASSERT_TRUE(index.add(fact(1, "a", "pump")));
    ASSERT_TRUE(index.commit(17));
    ASSERT_TRUE(index.add(fact(2, "a", "pump")));
  }
  TextIndex index = open();
  EXPECT_EQ(index.applied(), 17U);
  EXPECT_EQ(found(index, {"pump"}), Ids{1});
}

TEST_F(TextIndexTest, AfterAPurgeNoWordOfTheRemovedIsInAnyFile) {
  TextIndex index = open();
  for (FactId id = 1; id <= 400; ++id) {
    ASSERT_TRUE(index.add(fact(id, "a", id % 2 == 0 ? "quicksilverish thing " + std::to_string(id) : "common thing")));
    if (id % 50 == 0) {
      ASSERT_TRUE(index.commit(id));
    }
  }
  for (FactId id = 2; id <= 400; id += 2) {
    ASSERT_TRUE(index.remove(fact(id, "a", "quicksilverish thing " + std::to_string(id))));
  }
  ASSERT_TRUE(index.purge(500));
  EXPECT_EQ(found(index, {"quicksilverish"}), Ids());
  EXPECT_EQ(found(index, {"common"}).size(), 100U);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_EQ(read_file(entry.path()).value().find("quicksilver"), std::string::npos) << entry.path();
  }
}

TEST_F(TextIndexTest, AfterAFullDiskItGoesOn) {
  TextIndex index = open();
  ASSERT_TRUE(index.add(fact(1, "a", "pump")));
  ASSERT_TRUE(index.commit(1));
  {
    const store::FullDisk full(200'000);
    Status done;
    for (FactId id = 2; done && id < 20'000; ++id) {
      done = index.add(fact(id, "a", fmt::format("valve w{} x{} y{} z{}", id, id, id, id)));
    }
    if (done) done = index.commit(2);
    ASSERT_FALSE(done);
  }
  EXPECT_TRUE(index.add(fact(30'000, "a", "fan")));
  const Status done = index.commit(3);
  EXPECT_TRUE(done) << done.error().text();
  EXPECT_EQ(found(index, {"fan"}), Ids{30'000});
}

TEST_F(TextIndexTest, AFileThatIsNoDatabaseIsMadeAnew) {
  std::ofstream(folder_ + "/words.sqlite") << std::string(5000, 'x');
  TextIndex index = open();
  EXPECT_EQ(index.applied(), 0U);
  ASSERT_TRUE(index.add(fact(1, "a", "pump")));
  EXPECT_EQ(found(index, {"pump"}), Ids{1});
}

TEST(WordFrequencies, ChoosesTheRareWords) {
  WordFrequencies f;
  for (int i = 0; i < 5000; ++i) f.add("the machine number " + std::to_string(i), 1);
  f.add("the turbine", 1);
  EXPECT_EQ(f.telling_words("The Turbine machine?"), std::vector<std::string>{"turbine"});
  EXPECT_EQ(f.telling_words("the machine"), std::vector<std::string>{"machine"}) << "the rarest stays, common as it is";
  EXPECT_TRUE(f.telling_words("unknown").empty());
  f.add("the turbine", -1);
  EXPECT_TRUE(f.telling_words("turbine").empty());
}

TEST(WordFrequencies, WordsAreCutAtWhatIsNoLetter) {
  EXPECT_EQ(words_of("Hello, wörld-9!"), (std::vector<std::string>{"hello", "wörld", "9"}));
  EXPECT_TRUE(words_of(" \"' ").empty());
}

}  // namespace
}  // namespace skep::memory
