// What was erased is in no file of the store any more, compressed or not.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "store/store.h"
#include "store/testing_folder.h"

namespace skep::store {
namespace {

const std::string kSecret = "zanzibarish-clandestine-secret";

std::vector<std::string> files_with(const std::string& folder, const std::string& word) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    if (bytes.find(word) != bytes.npos) found.push_back(entry.path().filename());
  }
  return found;
}

std::string text_of(int i) {
  return fmt::format("{{\"role\":\"user\",\"content\":\"number {} of {} is {}\"}}", i, kSecret, i * 7919);
}

TEST(StorePurge, TakesWhatWasErasedOutOfPagesJournalsAndDictionaries) {
  TestingFolder folder;
  auto opened = Store::open({.folder = folder.path()});
  ASSERT_TRUE(opened);
  Store& store = **opened;
  const auto fill = [&](const std::string& who, bool secret) {
    for (int i = 0; i < 400; ++i) {
      const std::string other = fmt::format("{{\"role\":\"user\",\"content\":\"harmless {} remark {}\"}}", i, i * 31);
      ASSERT_TRUE(store.put("talk", fmt::format("{}{}", who, i), secret ? text_of(i) : other));
      if (i % 100 == 0) {
        ASSERT_TRUE(store.flush());
      }
    }
  };
  fill("mallory", true);
  fill("ann", false);
  ASSERT_TRUE(store.flush());
  ASSERT_FALSE(files_with(folder.path(), kSecret).empty()) << "else this test looks for nothing";
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(store.erase("talk", fmt::format("mallory{}", i)));
  ASSERT_TRUE(store.flush());
  EXPECT_FALSE(files_with(folder.path(), kSecret).empty()) << "erasing alone leaves its traces";
  ASSERT_TRUE(store.purge());
  EXPECT_EQ(files_with(folder.path(), kSecret), std::vector<std::string>());
  EXPECT_EQ(files_with(folder.path(), "zanzibar"), std::vector<std::string>());
  for (int i = 0; i < 400; ++i) {
    auto value = store.get("talk", fmt::format("ann{}", i));
    ASSERT_TRUE(value && *value) << i;
    EXPECT_NE((*value)->find(fmt::format("harmless {} remark", i)), std::string::npos);
  }
  ASSERT_TRUE(store.put("talk", "later", "v"));
  opened->reset();
  auto again = Store::open({.folder = folder.path()});
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_FALSE((*again)->salvaged());
  EXPECT_EQ(*(*again)->get("talk", "later"), "v");
  EXPECT_TRUE(*(*again)->get("talk", "ann399"));
  EXPECT_EQ((*again)->scan("talk", {.prefix = "mallory"})->size(), 0U);
}

TEST(StorePurge, LosesNothingThatOthersWriteAndReadMeanwhile) {
  TestingFolder folder;
  std::atomic<int> written{0};
  std::atomic<bool> stop{false};
  {
    auto opened = Store::open({.folder = folder.path()});
    ASSERT_TRUE(opened);
    Store& store = **opened;
    std::thread writer([&] {
      while (written < 3000) {
        if (!store.put("s", std::to_string(written), text_of(written))) break;
        ++written;
      }
    });
    std::thread reader([&] {
      while (!stop) {
        const int last = written;
        if (last > 0) {
          EXPECT_EQ(*store.get("s", std::to_string(last - 1)), text_of(last - 1));
        }
      }
    });
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(store.purge());
    writer.join();
    stop = true;
    reader.join();
  }
  auto again = Store::open({.folder = folder.path()});
  ASSERT_TRUE(again);
  for (int i = 0; i < written; ++i) ASSERT_EQ(*(*again)->get("s", std::to_string(i)), text_of(i)) << i;
}

}  // namespace
}  // namespace skep::store
