#include "store/store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "base/random.h"
#include "store/testing_folder.h"

namespace skep::store {
namespace {

std::unique_ptr<Store> open(const TestingFolder& folder, StoreOptions options = {}) {
  options.folder = folder.path();
  auto store = Store::open(options);
  EXPECT_TRUE(store) << store.error().text();
  return std::move(*store);
}

TEST(Store, AnswersWithWhatWasPutBeforeAndAfterItIsInLmdb) {
  TestingFolder folder;
  auto store = open(folder);
  ASSERT_TRUE(store->put("agent", "a", "one"));
  EXPECT_EQ(*store->get("agent", "a"), "one");
  ASSERT_TRUE(store->flush());
  EXPECT_EQ(*store->get("agent", "a"), "one");
  ASSERT_TRUE(store->erase("agent", "a"));
  EXPECT_EQ(*store->get("agent", "a"), std::nullopt);
  ASSERT_TRUE(store->flush());
  EXPECT_EQ(*store->get("agent", "a"), std::nullopt);
}

TEST(Store, KeepsEverythingAcrossReopening) {
  TestingFolder folder;
  for (int round = 0; round < 5; ++round) {
    auto store = open(folder);
    for (int i = 0; i < round; ++i) EXPECT_EQ(*store->get("s", std::to_string(i)), std::to_string(i * i));
    ASSERT_TRUE(store->put("s", std::to_string(round), std::to_string(round * round)));
  }
}

TEST(Store, AnUpdateIsAllOrNothingAndSeesItsOwnWrites) {
  TestingFolder folder;
  auto store = open(folder);
  Status refused = store->update([](Store::Update& update) -> Status {
    update.put("s", "a", "1");
    EXPECT_EQ(*update.get("s", "a"), "1");
    update.erase("s", "a");
    EXPECT_EQ(*update.get("s", "a"), std::nullopt);
    update.put("s", "b", "2");
    return fail(ErrorCode::conflict, "changed its mind");
  });
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_EQ(*store->get("s", "b"), std::nullopt);
}

TEST(Store, UpdatesOfManyThreadsFollowOneAnother) {
  TestingFolder folder;
  auto store = open(folder);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        EXPECT_TRUE(store->update([](Store::Update& update) -> Status {
          SKEP_TRY(auto old, update.get("s", "n"));
          update.put("s", "n", std::to_string(old ? std::stoi(*old) + 1 : 1));
          return {};
        }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*store->get("s", "n"), "800");
}

TEST(Store, RefusesWhatIsTooLong) {
  TestingFolder folder;
  auto store = open(folder);
  EXPECT_EQ(store->put("s", std::string(kLongestKey + 1, 'k'), "v").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(store->put("s", "k", std::string(size_t{17} << 20, 'v')).error().code, ErrorCode::too_large);
  EXPECT_EQ(*store->get("s", "k"), std::nullopt);
}

// Against a std::map, with flushes at random moments: half of what is read comes from the overlay, half from LMDB.
TEST(Store, AgreesWithAMapWhateverIsFlushedWhen) {
  TestingFolder folder;
  auto store = open(folder);
  std::map<std::string, std::string> model;
  Random random(11);
  for (int step = 0; step < 3000; ++step) {
    std::string key = "k" + std::to_string(random.below(60));
    switch (random.below(10)) {
      case 0:
        ASSERT_TRUE(store->erase("s", key));
        model.erase(key);
        break;
      case 1:
        if (random.below(20) == 0) {
          ASSERT_TRUE(store->flush());
        }
        break;
      case 2:
      case 3: {
        Store::Scan scan;
        scan.prefix = random.below(2) == 0 ? "k" : "k1";
        if (random.below(2) == 0) scan.after = key;
        scan.limit = 1 + random.below(30);
        auto entries = store->scan("s", scan);
        ASSERT_TRUE(entries);
        std::vector<std::pair<std::string, std::string>> got, expected;
        for (const auto& entry : *entries) got.emplace_back(entry.key, entry.value);
        for (auto it = model.upper_bound(scan.after); it != model.end() && expected.size() < scan.limit; ++it) {
          if (it->first.starts_with(scan.prefix)) expected.emplace_back(*it);
        }
        ASSERT_EQ(got, expected) << "step " << step;
        break;
      }
      case 4: {
        auto value = store->get("s", key);
        ASSERT_TRUE(value);
        auto found = model.find(key);
        ASSERT_EQ(*value, found == model.end() ? std::nullopt : std::optional(found->second)) << "step " << step;
        break;
      }
      default: {
        std::string value(random.below(300), static_cast<char>('a' + random.below(26)));
        ASSERT_TRUE(store->put("s", key, value));
        model[key] = value;
      }
    }
  }
}

TEST(Store, GrowsItsMapUnderReaders) {
  TestingFolder folder;
  StoreOptions options;
  options.map = 1_MiB;
  auto store = open(folder, options);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) EXPECT_TRUE(store->get("s", "k3"));
  });
  Random random(5);
  for (int i = 0; i < 400; ++i) {
    std::string value(20'000, '\0');
    for (char& c : value) c = static_cast<char>(random.next());
    ASSERT_TRUE(store->put("s", "k" + std::to_string(i), value));
  }
  ASSERT_TRUE(store->flush());
  done = true;
  reader.join();
  EXPECT_GE(store->usage().map, 8_MiB);
  EXPECT_EQ((*store->get("s", "k399"))->size(), 20'000U);
}

TEST(Store, SaysSoWhenItHasGrownToItsLimitAndReadsOn) {
  TestingFolder folder;
  StoreOptions options;
  options.map = options.limit = 1_MiB;
  auto store = open(folder, options);
  ASSERT_TRUE(store->put("s", "before", "v"));
  ASSERT_TRUE(store->flush());
  Random random(5);
  std::string value(2'000'000, '\0');
  for (char& c : value) c = static_cast<char>(random.next());
  ASSERT_TRUE(store->put("s", "large", value));
  EXPECT_EQ(store->flush().error().code, ErrorCode::unavailable);
  EXPECT_EQ(store->put("s", "more", "v").error().code, ErrorCode::unavailable);
  EXPECT_TRUE(store->usage().refusing);
  EXPECT_EQ(*store->get("s", "before"), "v");
  EXPECT_EQ(*store->get("s", "large"), value) << "it was acknowledged";
}

TEST(Store, TrainsADictionaryAndStillReadsWhatCameBefore) {
  TestingFolder folder;
  Random random(9);
  auto text = [&] {
    std::string value = "{\"role\":\"assistant\",\"content\":\"";
    for (int i = 0; i < 80; ++i) value += "word" + std::to_string(random.below(50)) + " of the answer ";
    return value + "\"}";
  };
  std::map<std::string, std::string> model;
  auto first_use = Bytes(0);
  {
    auto store = open(folder);
    for (int i = 0; i < 1200; ++i) {
      model["k" + std::to_string(i)] = text();
      ASSERT_TRUE(store->put("talk", "k" + std::to_string(i), model["k" + std::to_string(i)]));
      if (i == 300) {
        ASSERT_TRUE(store->flush());
        first_use = store->usage().used;
      }
    }
  }
  auto store = open(folder);  // the dictionary is found again
  for (const auto& [key, value] : model) ASSERT_EQ(*store->get("talk", key), value);
  EXPECT_GT(first_use, Bytes(0));
}

TEST(Store, OnlyOneProcessMayHaveItOpen) {
  TestingFolder folder;
  auto store = open(folder);
  auto second = Store::open({.folder = folder.path()});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
}

TEST(Store, ABackupHoldsAllThatWasAcknowledgedAndCanBeRestored) {
  TestingFolder folder, other;
  std::string file = folder / "backup.mdb";
  {
    auto store = open(folder);
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(store->put("s", std::to_string(i), "before"));
    std::thread writer([&] {
      for (int i = 0; i < 500; ++i) EXPECT_TRUE(store->put("s", std::to_string(i), "after"));
    });
    ASSERT_TRUE(store->backup(file));
    writer.join();
  }
  auto report = check_file(file);
  ASSERT_TRUE(report) << report.error().text();
  EXPECT_EQ(report->broken.size(), 0U);
  {
    auto store = open(other);
    ASSERT_TRUE(store->put("s", "only here", "v"));
    EXPECT_EQ(restore(file, other.path()).error().code, ErrorCode::conflict) << "somebody has it open";
  }
  ASSERT_TRUE(restore(file, other.path()));
  auto store = open(other);
  EXPECT_EQ(store->scan("s", {})->size(), 500U);
  EXPECT_EQ(*store->get("s", "only here"), std::nullopt);
}

TEST(Store, ARestoredStateIsNotOverwrittenByTheJournalsOfTheOldOne) {
  TestingFolder folder, other;
  const std::string file = folder / "backup.mdb";
  {
    auto store = open(folder);
    ASSERT_TRUE(store->put("s", "k", "from the backup"));
    ASSERT_TRUE(store->backup(file));
  }
  {
    auto store = open(other);
    for (int i = 0; i < 5; ++i) {  // more generations than the backup has
      ASSERT_TRUE(store->put("s", "k", "old"));
      ASSERT_TRUE(store->flush());
    }
    ASSERT_TRUE(store->put("s", "k", "old"));
    // As after a kill between the rename and the removal of the journals.
    for (const char* name : {"journal.0", "journal.1"}) {
      std::filesystem::copy_file(other / name, folder / name, std::filesystem::copy_options::overwrite_existing);
    }
  }
  ASSERT_TRUE(restore(file, other.path()));
  for (const char* name : {"journal.0", "journal.1"}) std::filesystem::copy_file(folder / name, other / name);
  EXPECT_EQ(*open(other)->get("s", "k"), "from the backup");
}

// Bytes of one record changed on disk, as a failing drive does it.
TEST(Store, ABrokenRecordIsNamedAndTheRestGoesOn) {
  TestingFolder folder;
  std::string marker = "0123456789abcdefghijklmnopqrstuvwxyz-THE-ONE-TO-BREAK-0123456789";
  Random random(21);
  std::string noise(9000, '\0');
  for (char& c : noise) c = static_cast<char>(random.next());
  {
    auto store = open(folder);
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(store->put("agent", "a" + std::to_string(i), i == 25 ? marker + noise : noise));
    }
  }
  std::string path = folder / "state.mdb";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  size_t at = bytes.find(marker);
  ASSERT_NE(at, std::string::npos);
  file.seekp(static_cast<std::streamoff>(at + 5));
  file << "XXXX";
  file.close();

  auto store = open(folder);
  auto broken = store->get("agent", "a25");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::corrupt);
  EXPECT_NE(broken.error().message.find("agent/a25"), std::string::npos) << broken.error().message;
  EXPECT_EQ(*store->get("agent", "a24"), noise);
  auto all = store->scan("agent", {});
  ASSERT_TRUE(all);
  int named = 0;
  for (const auto& entry : *all) named += entry.broken ? 1 : 0;
  EXPECT_EQ(all->size(), 50U);
  EXPECT_EQ(named, 1);
  EXPECT_GT((*store->raw("agent", "a25"))->size(), 9000U) << "what is left of it can be put aside";
  ASSERT_TRUE(store->put("agent", "a25", "new"));
  EXPECT_EQ(*store->get("agent", "a25"), "new");
  store.reset();
  EXPECT_EQ(check_file(path)->broken.size(), 0U);
}

TEST(Store, DurabilityAlwaysWritesToo) {
  TestingFolder folder;
  StoreOptions options;
  options.durability = Durability::always;
  std::vector<std::thread> threads;
  {
    auto store = open(folder, options);
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 20; ++i) EXPECT_TRUE(store->put("s", std::to_string(t * 100 + i), "v"));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(open(folder)->scan("s", {})->size(), 60U);
}

}  // namespace
}  // namespace skep::store
