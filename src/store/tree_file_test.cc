// Damaged LMDB files: found before LMDB sees them, and all that stands on other pages goes on.
#include "store/tree_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "base/random.h"
#include "store/salvage.h"
#include "store/store.h"
#include "store/testing_folder.h"

namespace skep::store {
namespace {

namespace fs = std::filesystem;
constexpr size_t kPage = 4096;
constexpr int kAgents = 60;

std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_whole(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string agent_name(int i) { return fmt::format("agent-{:03}", i); }
std::string prefix_of(int i) { return agent_name(i) + '\0'; }

// What each agent has: records of many sizes, some of them on pages of their own.
std::map<std::string, std::string> records_of(int agent) {
  Random random(static_cast<uint64_t>(agent) + 1);
  std::map<std::string, std::string> records;
  for (int i = 0; i < 12; ++i) {
    std::string value(i == 3 && agent % 10 == 0 ? 9000 : 20 + random.below(400), '\0');
    for (char& c : value) c = static_cast<char>(random.next());
    records[prefix_of(agent) + std::to_string(i)] = value;
  }
  return records;
}

// A store in which records came, changed and went, so that it has free pages with old records on them.
std::string filled_file() {
  TestingFolder folder;
  {
    auto store = Store::open({.folder = folder.path()});
    if (!store) return "";
    for (int round = 0; round < 3; ++round) {
      for (int agent = 0; agent < kAgents + 20; ++agent) {
        Status put = (*store)->update([&](Store::Update& update) -> Status {
          for (const auto& [key, value] : records_of(agent)) {
            if (round == 2 && agent >= kAgents) {
              update.erase("s", key);
            } else {
              update.put("s", key, round == 2 ? value : value + "old");
            }
          }
          return {};
        });
        if (!put || (agent % 16 == 0 && !(*store)->flush())) return "";
      }
    }
    if (!(*store)->flush()) return "";
  }
  return read_whole(folder.path() + "/state.mdb");
}

uint16_t flags_of(const std::string& file, size_t page) {
  return static_cast<uint16_t>(static_cast<uint8_t>(file[page * kPage + 10]) |
                               static_cast<uint8_t>(file[page * kPage + 11]) << 8);
}

struct Outcome {
  std::set<int> apart;  // said to be incomplete, or broken
  bool damaged = false;
};

// Opens the file as a store. Whoever is not set apart has all that it had.
void open_and_compare(const std::string& file, const std::string& what, Outcome& outcome) {
  TestingFolder folder;
  write_whole(folder.path() + "/state.mdb", file);
  auto store = Store::open({.folder = folder.path()});
  ASSERT_TRUE(store) << what << ": " << store.error().text();
  outcome.damaged = (*store)->salvaged().has_value();
  for (int agent = 0; agent < kAgents; ++agent) {
    if ((*store)->may_be_missing("s", prefix_of(agent))) {
      outcome.apart.insert(agent);
      continue;
    }
    auto entries = (*store)->scan("s", {.prefix = prefix_of(agent)});
    ASSERT_TRUE(entries) << what;
    std::map<std::string, std::string> found;
    bool broken = false;
    for (const auto& entry : *entries) {
      broken = broken || entry.broken;
      found[entry.key] = entry.value;
    }
    if (broken) {
      outcome.apart.insert(agent);
    } else {
      ASSERT_EQ(found, records_of(agent)) << what << ": agent " << agent << " is not what it was, and nobody says so";
    }
  }
  if (outcome.damaged) {
    EXPECT_EQ(read_whole((*store)->salvaged()->kept), file) << "the damaged file is kept as it was";
  }
  ASSERT_TRUE((*store)->put("s", "after", "v")) << what;
  ASSERT_TRUE((*store)->flush()) << what;
}

TEST(TreeFile, FindsNothingWrongWithWhatTheStoreWrites) {
  const std::string file = filled_file();
  ASSERT_GT(file.size(), 50 * kPage);
  TestingFolder folder;
  write_whole(folder.path() + "/f", file);
  std::map<std::string, size_t> keys;
  auto report = read_tree(folder.path() + "/f", [&](std::string_view key, std::string_view) -> Status {
    ++keys[std::string(key)];
    return {};
  });
  ASSERT_TRUE(report) << report.error().text();
  EXPECT_EQ(report->damage, std::vector<std::string>());
  EXPECT_EQ(keys.size(), report->entries);
  for (int agent = 0; agent < kAgents; ++agent) {
    for (const auto& [key, value] : records_of(agent)) EXPECT_EQ(keys[std::string("s\0", 2) + key], 1U);
  }
  EXPECT_FALSE(keys.contains(std::string("s\0", 2) + prefix_of(kAgents) + "1")) << "what was erased stays so";
}

// Each page in turn, in several ways. Branch pages, the free list and one of the meta pages cost nobody anything; a
// leaf costs those who are on it, or next to it.
TEST(TreeFile, ADamagedPageCostsWhoIsOnItAndNobodyElse) {
  const std::string whole = filled_file();
  Random random(11);
  int branches = 0;
  for (size_t page = 0; page < whole.size() / kPage; ++page) {
    const bool branch = (flags_of(whole, page) & 0x7f) == 1;
    const int ways = branch || page < 2 ? 3 : 1;
    for (int i = 0; i < ways; ++i) {
      const int way = (static_cast<int>(page) + i) % 3;
      std::string file = whole;
      for (size_t at = 0; at < kPage; ++at) {
        char& byte = file[page * kPage + at];
        if (way == 0) byte = '\0';
        if (way == 1) byte = static_cast<char>(random.next());
        if (way == 2 && at < 16) byte = static_cast<char>(random.next());
      }
      const std::string what = fmt::format("page {} ({:#x}), way {}", page, flags_of(whole, page), way);
      Outcome outcome;
      open_and_compare(file, what, outcome);
      if (HasFatalFailure()) return;
      branches += branch ? 1 : 0;
      if (branch || page < 2) {
        EXPECT_EQ(outcome.apart, std::set<int>()) << what;
      }
      EXPECT_LE(outcome.apart.size(), 4U) << what;
    }
  }
  EXPECT_GT(branches, 0);
}

TEST(TreeFile, FlippedBitsNeverPassForTheTruth) {
  const std::string whole = filled_file();
  Random random(5);
  int damaged = 0, apart = 0;
  for (int trial = 0; trial < 150; ++trial) {
    std::string file = whole;
    const size_t flips = 1 + random.below(8);
    std::string what = fmt::format("trial {}:", trial);
    for (size_t i = 0; i < flips; ++i) {
      // Half of them where pages have their headers and pointers.
      size_t at = random.below(static_cast<uint32_t>(file.size()));
      if (random.below(2) == 0) at = at / kPage * kPage + random.below(64);
      file[at] = static_cast<char>(static_cast<uint8_t>(file[at]) ^ (1U << random.below(8)));
      what += fmt::format(" {}", at);
    }
    const bool first = file.compare(0, kPage, whole, 0, kPage) == 0;
    const bool second = file.compare(kPage, kPage, whole, kPage, kPage) == 0;
    if (!first && !second) continue;  // both meta pages: what backups are for
    Outcome outcome;
    open_and_compare(file, what, outcome);
    if (HasFatalFailure()) return;
    damaged += outcome.damaged ? 1 : 0;
    apart += static_cast<int>(outcome.apart.size());
  }
  EXPECT_GT(damaged, 20);
  EXPECT_GT(apart, 0);
}

TEST(TreeFile, AFileThatWasCutKeepsWhatIsLeftOfIt) {
  const std::string whole = filled_file();
  for (const size_t pages : {whole.size() / kPage - 1, whole.size() / kPage / 2}) {
    Outcome outcome;
    open_and_compare(whole.substr(0, pages * kPage), fmt::format("{} pages", pages), outcome);
    EXPECT_TRUE(outcome.damaged);
  }
}

TEST(TreeFile, WhatMayBeMissingIsRememberedUntilAnUpdateSaysThatItIsAll) {
  std::string file = filled_file();
  size_t leaf = 0;
  TestingFolder folder;
  const std::string path = folder.path() + "/state.mdb";
  std::set<int> apart;
  for (size_t page = 2; page < file.size() / kPage && apart.empty(); ++page) {
    if ((flags_of(file, page) & 0x7f) != 2) continue;
    std::string broken = file;
    broken.replace(page * kPage, kPage, std::string(kPage, '\x5a'));
    Outcome outcome;
    open_and_compare(broken, "", outcome);
    if (outcome.apart.size() < 2) continue;
    apart = outcome.apart;
    leaf = page;
  }
  ASSERT_GE(apart.size(), 2U);
  file.replace(leaf * kPage, kPage, std::string(kPage, '\x5a'));
  write_whole(path, file);
  const int first = *apart.begin(), last = *apart.rbegin();
  {
    auto store = Store::open({.folder = folder.path()});
    ASSERT_TRUE(store);
    ASSERT_TRUE((*store)->update([&](Store::Update& update) -> Status {
      update.complete("s", prefix_of(first));
      return {};
    }));
    EXPECT_FALSE((*store)->may_be_missing("s", prefix_of(first)));
  }
  auto again = Store::open({.folder = folder.path()});
  ASSERT_TRUE(again);
  EXPECT_FALSE((*again)->salvaged()) << "it was mended";
  EXPECT_FALSE((*again)->may_be_missing("s", prefix_of(first)));
  EXPECT_TRUE((*again)->may_be_missing("s", prefix_of(last)));
}

TEST(KeyRanges, LoseExactlyThePrefixThatIsComplete) {
  const std::vector<KeyRange> all = {{"b", "f"}, {"x", std::nullopt}};
  EXPECT_EQ(without(all, "d"), (std::vector<KeyRange>{{"b", "d"}, {"e", "f"}, {"x", std::nullopt}}));
  EXPECT_EQ(without(all, "a"), all);
  EXPECT_EQ(without(all, "y"), (std::vector<KeyRange>{{"b", "f"}, {"x", "y"}, {"z", std::nullopt}}));
  EXPECT_EQ(decode_ranges(encode_ranges(all)), all);
  EXPECT_TRUE(all[0].meets("bb"));
  EXPECT_TRUE(all[0].meets(""));
  EXPECT_FALSE(all[0].meets("f"));
  EXPECT_FALSE(all[0].meets("a"));
}

}  // namespace
}  // namespace skep::store
