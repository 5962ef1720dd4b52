#include "engine/native/kv_pages.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <string>

namespace skep::engine::native {
namespace {

using kernel::lm::KvType;

constexpr KvLayout kLayout{KvType::f16, 2, 2, 16};

// Writes a number of its own into every element of a token's keys and values, and reads it back.
class Tokens {
 public:
  explicit Tokens(KvPages& pages) : pages_(pages) {}
  void write(int sequence, int position, float value) {
    const std::vector<float> x(16, value);
    for (int layer = 0; layer < kLayout.layers; ++layer) {
      for (int head = 0; head < kLayout.heads; ++head) {
        uint8_t* page = pages_.writable(sequence, position);
        kernel::lm::scalar_kernels().store_key(
            {KvType::f16, 16, position % 16, x.data(), page + kLayout.keys_at(layer, head)});
        kernel::lm::scalar_kernels().store_value(
            {KvType::f16, 16, position % 16, x.data(), page + kLayout.values_at(layer, head)});
      }
    }
  }
  [[nodiscard]] float read(int sequence, int position) const {
    const uint8_t* page = pages_.pages(sequence)[position / 16];
    const uint8_t* values = page + kLayout.values_at(kLayout.layers - 1, kLayout.heads - 1);
    const uint8_t* keys = page + kLayout.keys_at(0, 0);
    uint16_t value = 0, key = 0;
    std::memcpy(&value, values + 2 * (16 * (position % 16) + 5), 2);
    std::memcpy(&key, keys + 2 * (16 * 3 + position % 16), 2);
    EXPECT_EQ(value, key);
    return from_half(value);
  }

 private:
  static float from_half(uint16_t h) {  // of the small integers that the tests use
    return h == 0 ? 0.0F : std::ldexp(1.0F + static_cast<float>(h & 1023) / 1024.0F, (h >> 10 & 31) - 15);
  }
  KvPages& pages_;
};

TEST(KvPages, GivesEverySequenceWhatItWroteHoweverPagesAreShared) {
  // A model of the cache: for every sequence, position → value; random operations on both.
  std::mt19937 random(1);
  auto created = KvPages::create(kLayout, 4096, 8);
  ASSERT_TRUE(created);
  KvPages& pages = *created;
  Tokens tokens(pages);
  std::map<int, std::map<int, float>> expected;
  float next = 1;
  for (int round = 0; round < 3000; ++round) {
    const int a = static_cast<int>(random() % 8), b = static_cast<int>(random() % 8);
    auto& mine = expected[a];
    switch (random() % 4) {
      case 0: {  // grow
        const int begin = mine.empty() ? static_cast<int>(random() % 40) : mine.rbegin()->first + 1;
        const int end = begin + 1 + static_cast<int>(random() % 20);
        if (end > 200) break;
        ASSERT_TRUE(pages.extend(a, begin, end));
        for (int p = begin; p < end; ++p) {
          tokens.write(a, p, next);
          mine[p] = next;
          next = next >= 1024 ? 1 : next + 1;
        }
        break;
      }
      case 1: {  // share what b has and a does not
        if (a == b || expected[b].empty()) break;
        const int first = expected[b].begin()->first, last = expected[b].rbegin()->first + 1;
        const int begin = first + static_cast<int>(random() % static_cast<unsigned>(last - first));
        const int end = begin + 1 + static_cast<int>(random() % static_cast<unsigned>(last - begin));
        bool possible = true;
        for (int p = begin; p < end; ++p) possible = possible && expected[b].contains(p) && !mine.contains(p);
        if (!possible) break;
        pages.share(b, a, begin, end);
        for (int p = begin; p < end; ++p) mine[p] = expected[b][p];
        break;
      }
      case 2: {  // drop a range
        const int begin = static_cast<int>(random() % 100), end = begin + static_cast<int>(random() % 60);
        pages.drop(a, begin, end);
        std::erase_if(mine, [&](const auto& entry) { return entry.first >= begin && entry.first < end; });
        break;
      }
      default:
        if (random() % 8 == 0) {
          pages.drop(a, 0, INT32_MAX);
          mine.clear();
        }
    }
    if (round % 10 != 0) continue;
    std::set<const uint8_t*> used;
    for (const auto& [sequence, values] : expected) {
      for (const auto& [position, value] : values) {
        ASSERT_TRUE(pages.holds(sequence, position, position + 1));
        ASSERT_EQ(tokens.read(sequence, position), value) << "sequence " << sequence << " position " << position;
        used.insert(pages.pages(sequence)[position / 16]);
      }
    }
    ASSERT_EQ(pages.pages_in_use(), static_cast<int>(used.size()));
  }
}

TEST(KvPages, SharesWithoutUsingAPage) {
  auto created = KvPages::create(kLayout, 256, 4);
  ASSERT_TRUE(created);
  ASSERT_TRUE(created->extend(0, 0, 100));
  const int before = created->pages_in_use();
  created->share(0, 1, 0, 100);
  created->share(0, 2, 5, 90);
  EXPECT_EQ(created->pages_in_use(), before);
  ASSERT_TRUE(created->extend(1, 100, 101));  // the last page becomes its own
  EXPECT_EQ(created->pages_in_use(), before + 1);
}

TEST(KvPages, SavesNothingOfOthersThatShareAPage) {
  auto created = KvPages::create(kLayout, 256, 4);
  ASSERT_TRUE(created);
  KvPages& pages = *created;
  Tokens tokens(pages);
  ASSERT_TRUE(pages.extend(0, 0, 16));
  for (int p = 0; p < 16; ++p) tokens.write(0, p, 7);
  pages.share(0, 1, 0, 10);
  const std::string saved = pages.save(1, 0, 10, 42);
  ASSERT_TRUE(pages.load(2, 0, 10, 42, saved));
  EXPECT_EQ(tokens.read(2, 9), 7);
  // The six slots that are not of sequence 1 were saved as zeros.
  int sevens = 0;
  for (size_t i = 0; i + 1 < saved.size(); i += 2)
    sevens += static_cast<uint8_t>(saved[i]) == 0x00 && static_cast<uint8_t>(saved[i + 1]) == 0x47 ? 1 : 0;
  EXPECT_EQ(sevens, 10 * 16 * 2 * 2 * 2);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they map data of their own, without end
// So much more data, and not a byte beyond, may this process have while it lives.
class DataLimit {
 public:
  explicit DataLimit(rlim_t more) {
    getrlimit(RLIMIT_DATA, &before_);
    std::ifstream status("/proc/self/status");
    rlim_t data = 0;  // KiB
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("VmData:", 0) == 0) data = std::stoull(line.substr(7));
    }
    const rlimit limit{data * 1024 + more, before_.rlim_max};
    setrlimit(RLIMIT_DATA, &limit);
  }
  ~DataLimit() { setrlimit(RLIMIT_DATA, &before_); }

 private:
  rlimit before_{};
};

TEST(KvPages, TakesNoMoreOfALimitOnDataThanItUses) {
  ASSERT_EQ(kLayout.page_bytes(), 4096);
  const DataLimit limit(16 << 20);
  auto pages = KvPages::create(kLayout, 64, 8192);  // rounding reserves 128 MiB
  ASSERT_TRUE(pages) << pages.error().text();
  EXPECT_TRUE(pages->extend(0, 0, 1024)) << "more than its cells, of what rounding has";
  Tokens(*pages).write(0, 1023, 7);
  EXPECT_EQ(Tokens(*pages).read(0, 1023), 7);
  EXPECT_EQ(pages->extend(1, 0, 16 * 8192).error().code, ErrorCode::overloaded) << "32 MiB";
  EXPECT_EQ(pages->pages_in_use(), 64) << "stays as it was";
  const auto larger = KvPages::create(kLayout, 16 * 8192, 1);
  ASSERT_FALSE(larger) << "cells that could never be written";
  EXPECT_EQ(larger.error().code, ErrorCode::out_of_memory);
}
#endif

TEST(KvPages, SaysWhenNoPageIsFreeAndStaysAsItWas) {
  auto created = KvPages::create(kLayout, 16, 1);  // 8 pages with the spare ones
  ASSERT_TRUE(created);
  ASSERT_TRUE(created->extend(0, 0, 16));
  const auto more = created->extend(0, 16, 16 * 100);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::overloaded);
  EXPECT_TRUE(created->holds(0, 0, 16));
  EXPECT_FALSE(created->holds(0, 16, 17));
  EXPECT_EQ(created->pages_in_use(), 1);
}

}  // namespace
}  // namespace skep::engine::native
