// The store on a disk that fails, at random and at chosen moments.

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "base/random.h"
#include "store/store.h"
#include "store/testing_disk.h"
#include "store/testing_folder.h"

namespace skep::store {
namespace {

std::unique_ptr<Store> open(const TestingFolder& folder, Durability durability) {
  StoreOptions options;
  options.folder = folder.path();
  options.durability = durability;
  options.flush_after = std::chrono::milliseconds(1);
  auto store = Store::open(options);
  EXPECT_TRUE(store) << store.error().text();
  return store ? std::move(*store) : nullptr;
}

// What each pair of keys may hold: what was acknowledged last, or a later value whose update was told to have failed.
class StoreFaults : public testing::TestWithParam<Durability> {
 protected:
  ~StoreFaults() override { TestingDisk::heal(); }
  void write(Store& store, Random& random) {
    const std::string key = std::to_string(random.below(40));
    const std::string value = fmt::format("{} {}", ++number_, std::string(random.below(3000), 'v'));
    const Status done = store.update([&](Store::Update& update) {
      update.put("left", key, value);
      update.put("right", key, value);
      return Status();
    });
    if (done) {
      may_[key].clear();
      ever_.insert(key);
      ++acknowledged_;
    }
    may_[key].insert(value);
  }
  void check(const Store& store) {
    for (const auto& [key, values] : may_) {
      const auto left = store.get("left", key), right = store.get("right", key);
      ASSERT_TRUE(left && right) << (left ? right.error().text() : left.error().text());
      ASSERT_EQ(left->value_or(""), right->value_or("")) << "torn";
      if (!*left && !ever_.contains(key)) continue;
      ASSERT_TRUE(values.contains(left->value_or(""))) << key << ": lost, or older than what was acknowledged";
      may_[key] = {left->value_or("")};
      ever_.insert(key);
    }
  }
  std::map<std::string, std::set<std::string>> may_;
  std::set<std::string> ever_;  // acknowledged, or seen: it may not be missing any more
  int number_ = 0, acknowledged_ = 0;
};

TEST_P(StoreFaults, NothingAcknowledgedIsLostAndNothingTornOnADiskThatFailsAtRandom) {
  TestingFolder folder;
  Random random(71);
  TestingDisk::seed(72);
  for (int life = 0; life < 90; ++life) {
    auto store = open(folder, GetParam());
    ASSERT_TRUE(store) << life;
    ASSERT_NO_FATAL_FAILURE(check(*store)) << life;
    TestingDisk::bad_writes = 1 + random.below(30);
    TestingDisk::bad_syncs = 1 + random.below(30);
    for (int i = 0; i < 60; ++i) write(*store, random);
    TestingDisk::heal();
    if (life % 3 == 0) {
      ASSERT_TRUE(store->flush()) << "it recovers by itself";
      ASSERT_TRUE(store->put("s", "k", "v"));
    }
    if (life % 3 == 1) TestingDisk::bad_writes = 2;  // nor does it stop well
    store.reset();
    TestingDisk::heal();
  }
  EXPECT_GT(acknowledged_, 100) << "else the test says little";
  EXPECT_GT(TestingDisk::faults, 200);
}

INSTANTIATE_TEST_SUITE_P(Both, StoreFaults, testing::Values(Durability::batched, Durability::always),
                         [](const auto& one) { return one.param == Durability::always ? "always" : "batched"; });

// One that syncs every update, and nothing but its journal meanwhile.
std::unique_ptr<Store> open_synced(const TestingFolder& folder) {
  StoreOptions options;
  options.folder = folder.path();
  options.durability = Durability::always;
  options.flush_after = std::chrono::hours(1);
  return Store::open(options).value();
}

TEST(StoreSync, ThoseWhoWaitForTheDiskTogetherShareOneWait) {
  TestingFolder folder;
  auto store = open_synced(folder);
  // The first to sync waits until all others have written.
  constexpr int kWriters = 8;
  TestingDisk::before_sync = [&] {
    while (store->usage().updates < kWriters) std::this_thread::yield();
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kWriters; ++t) {
    threads.emplace_back([&, t] { EXPECT_TRUE(store->put("s", std::to_string(t), "v")); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(store->usage().syncs, 2) << "one for whoever came first, one for all the others";
  TestingDisk::before_sync = nullptr;
}

TEST(StoreSync, AnUpdateThatDoesNotWaitIsSeenAtOnceAndToldWhenTheDiskHasIt) {
  TestingFolder folder;
  auto store = open_synced(folder);
  std::atomic<bool> hangs = true;
  TestingDisk::before_sync = [&] {
    while (hangs) std::this_thread::yield();
  };
  std::vector<int> told;
  std::atomic<int> count = 0;
  for (int i = 0; i < 8; ++i) {  // none of them waits: the disk hangs
    const auto put = [&](Store::Update& update) -> Status {
      update.put("s", std::to_string(i), "v");
      return {};
    };
    ASSERT_TRUE(store->update(put, [&, i](const Status& safe) {
      EXPECT_TRUE(safe);
      told.push_back(i);
      ++count;
    }));
    EXPECT_EQ(*store->get("s", std::to_string(i)), "v");
  }
  EXPECT_EQ(count, 0);
  hangs = false;
  while (count < 8) std::this_thread::yield();
  EXPECT_EQ(told, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_LE(store->usage().syncs, 2) << "the first one's wait, and one for all behind it";
  TestingDisk::before_sync = nullptr;
}

TEST(StoreSync, WhoDoesNotWaitHearsThatTheDiskFailed) {
  TestingFolder folder;
  auto store = open_synced(folder);
  TestingDisk::bad_syncs = 1;  // all
  std::atomic<int> failed = 0;
  const auto put = [](Store::Update& update) -> Status {
    update.put("s", "k", "v");
    return {};
  };
  ASSERT_TRUE(store->update(put, [&](const Status& safe) { failed = safe ? -1 : 1; }));
  while (failed == 0) std::this_thread::yield();
  EXPECT_EQ(failed, 1);
  EXPECT_FALSE(store->update(put, [](const Status&) { FAIL() << "it was refused"; }));
  TestingDisk::heal();
  ASSERT_TRUE(store->flush());
  EXPECT_EQ(*store->get("s", "k"), "v") << "not safe was not undone";
}

TEST(StoreSync, AJournalThatCannotBeSyncedIsReplacedByACommit) {
  TestingFolder folder;
  auto store = open_synced(folder);
  TestingDisk::bad_syncs = 1;  // all
  std::thread later([&] {
    while (!store->usage().refusing) std::this_thread::yield();
    TestingDisk::heal();
  });
  EXPECT_FALSE(store->put("s", "k", "v")) << "neither the journal nor LMDB";
  later.join();
  ASSERT_TRUE(store->flush());
  EXPECT_EQ(*store->get("s", "k"), "v") << "not safe was not undone";
  std::atomic<int> syncs = 0;
  TestingDisk::before_sync = [&] { TestingDisk::bad_syncs = ++syncs == 1 ? 1 : 0; };  // the journal's alone
  EXPECT_TRUE(store->put("s", "k", "w"));
  TestingDisk::before_sync = nullptr;
  EXPECT_GE(store->usage().flushes, 2) << "by LMDB's commit";
}

}  // namespace
}  // namespace skep::store
