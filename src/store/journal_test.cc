#include "store/journal.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "store/testing_folder.h"

namespace skep::store {
namespace {

std::vector<std::string> replayed(const Journal& journal) {
  std::vector<std::string> bodies;
  auto replay = journal.replay([&](std::string_view body) -> Status {
    bodies.emplace_back(body);
    return {};
  });
  EXPECT_TRUE(replay);
  return bodies;
}

using Texts = std::vector<std::string>;

TEST(Journal, ReplaysWhatWasAppendedAcrossReopening) {
  TestingFolder folder;
  {
    auto journal = Journal::open(folder / "j");
    ASSERT_TRUE(journal && journal->start(1));
    for (const char* body : {"one", "two", "three"}) ASSERT_TRUE(journal->append(body));
  }
  EXPECT_EQ(replayed(*Journal::open(folder / "j")), (Texts{"one", "two", "three"}));
}

TEST(Journal, ANewGenerationHidesTheOldOneBehindIt) {
  TestingFolder folder;
  auto journal = Journal::open(folder / "j");
  ASSERT_TRUE(journal && journal->start(1));
  for (const char* body : {"one", "two", "six"}) ASSERT_TRUE(journal->append(body));
  ASSERT_TRUE(journal->start(2));
  EXPECT_EQ(replayed(*journal), Texts{});
  ASSERT_TRUE(journal->append("ten"));  // the same length: "two" stands right behind it
  EXPECT_EQ(replayed(*journal), Texts{"ten"});
}

TEST(Journal, EndsAtTheFirstTornRecordWhereverItTears) {
  TestingFolder folder;
  {
    auto journal = Journal::open(folder / "j");
    ASSERT_TRUE(journal && journal->start(1));
    ASSERT_TRUE(journal->append("first") && journal->append("second"));
  }
  std::string bytes(24 + 12 + 5 + 12 + 6, '\0');
  std::ifstream(folder / "j", std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::ofstream(folder / "torn", std::ios::binary) << bytes.substr(0, size);
    Texts whole;
    if (size >= 24 + 12 + 5) whole = {"first"};
    EXPECT_EQ(replayed(*Journal::open(folder / "torn")), whole) << size;
  }
  for (size_t at = 24 + 12 + 5; at < bytes.size(); ++at) {  // a flipped bit in the second
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    std::ofstream(folder / "torn", std::ios::binary) << flipped;
    EXPECT_EQ(replayed(*Journal::open(folder / "torn")), Texts{"first"}) << at;
  }
}

TEST(Journal, AnEmptyOrForeignFileHoldsNothing) {
  TestingFolder folder;
  std::ofstream(folder / "j") << "this was never a journal, and long enough to look like one";
  auto journal = Journal::open(folder / "j");
  ASSERT_TRUE(journal);
  EXPECT_EQ(journal->replay([](std::string_view) { return Status(); })->generation, 0U);
}

}  // namespace
}  // namespace skep::store
