#pragma once
// What every KeyValue must do, as typed tests. A test file instantiates them with a fixture that has
//   KeyValue& kv();              an empty one
//   void pass(Duration);         lets time go by, for expiries
//
//   INSTANTIATE_TYPED_TEST_SUITE_P(Lmdb, KeyValueContract, LmdbFixture);

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "store/key_value.h"

namespace skep::store {

template <typename Fixture>
class KeyValueContract : public ::testing::Test {
 protected:
  KeyValue& kv() { return fixture_.kv(); }
  void pass(Duration time) { fixture_.pass(time); }
  std::optional<std::string> got(std::string_view space, std::string_view key) { return *kv().get(space, key); }

 private:
  Fixture fixture_;
};
TYPED_TEST_SUITE_P(KeyValueContract);

using Texts = std::vector<std::string>;
constexpr Duration kShort = std::chrono::milliseconds(80);

TYPED_TEST_P(KeyValueContract, GivesBackWhatWasPut) {
  std::string binary("a\0b\xff", 4);
  ASSERT_TRUE(this->kv().put("n", "k", "one"));
  ASSERT_TRUE(this->kv().put("n", binary, binary));
  EXPECT_EQ(this->got("n", "k"), "one");
  EXPECT_EQ(this->got("n", binary), binary);
  ASSERT_TRUE(this->kv().put("n", "k", ""));
  EXPECT_EQ(this->got("n", "k"), "");
  EXPECT_EQ(this->got("n", "other"), std::nullopt);
}

TYPED_TEST_P(KeyValueContract, KeepsNamespacesApart) {
  ASSERT_TRUE(this->kv().put("a", "bc", "1"));
  ASSERT_TRUE(this->kv().put("ab", "c", "2"));
  EXPECT_EQ(this->got("a", "bc"), "1");
  EXPECT_EQ(this->got("ab", "c"), "2");
  EXPECT_EQ(*this->kv().clear("a"), 1U);
  EXPECT_EQ(this->got("a", "bc"), std::nullopt);
  EXPECT_EQ(this->got("ab", "c"), "2");
}

TYPED_TEST_P(KeyValueContract, ErasesAndSaysWhetherItWasThere) {
  ASSERT_TRUE(this->kv().put("n", "k", "v"));
  EXPECT_TRUE(*this->kv().erase("n", "k"));
  EXPECT_FALSE(*this->kv().erase("n", "k"));
  EXPECT_EQ(this->got("n", "k"), std::nullopt);
}

TYPED_TEST_P(KeyValueContract, ForgetsWhatExpired) {
  ASSERT_TRUE(this->kv().put("n", "short", "v", kShort));
  ASSERT_TRUE(this->kv().put("n", "long", "v", std::chrono::hours(1)));
  ASSERT_TRUE(this->kv().put("n", "kept", "v"));
  EXPECT_EQ(this->got("n", "short"), "v");
  this->pass(2 * kShort);
  EXPECT_EQ(this->got("n", "short"), std::nullopt);
  EXPECT_EQ(this->got("n", "long"), "v");
  EXPECT_EQ(*this->kv().keys("n"), (Texts{"kept", "long"}));
  EXPECT_FALSE(*this->kv().erase("n", "short"));
}

TYPED_TEST_P(KeyValueContract, TellsHowLongAKeyHasToLive) {
  ASSERT_TRUE(this->kv().put("n", "k", "v", std::chrono::hours(1)));
  ASSERT_TRUE(this->kv().put("n", "kept", "v"));
  auto left = this->kv().ttl("n", "k");
  ASSERT_TRUE(left && *left);
  EXPECT_GT(**left, std::chrono::minutes(59));
  EXPECT_LE(**left, std::chrono::hours(1));
  EXPECT_EQ(*this->kv().ttl("n", "kept"), std::nullopt);
  EXPECT_EQ(this->kv().ttl("n", "none").error().code, ErrorCode::not_found);
}

TYPED_TEST_P(KeyValueContract, ANewPutReplacesTheExpiry) {
  ASSERT_TRUE(this->kv().put("n", "k", "v", kShort));
  ASSERT_TRUE(this->kv().put("n", "k", "w"));
  this->pass(2 * kShort);
  EXPECT_EQ(this->got("n", "k"), "w");
}

TYPED_TEST_P(KeyValueContract, CountsAtomically) {
  EXPECT_EQ(*this->kv().add("n", "c", 5), 5);
  EXPECT_EQ(*this->kv().add("n", "c", -7), -2);
  EXPECT_EQ(this->got("n", "c"), "-2");
  constexpr int kThreads = 4, kEach = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) EXPECT_TRUE(this->kv().add("n", "shared", 1));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(this->got("n", "shared"), std::to_string(kThreads * kEach));
}

TYPED_TEST_P(KeyValueContract, CountersExpireFromTheirBeginning) {
  ASSERT_TRUE(this->kv().add("n", "c", 1, kShort));
  this->pass(kShort / 2);
  ASSERT_TRUE(this->kv().add("n", "c", 1, kShort));
  this->pass(kShort);
  EXPECT_EQ(*this->kv().add("n", "c", 1), 1);
}

TYPED_TEST_P(KeyValueContract, RefusesToCountOnWhatIsNoNumber) {
  ASSERT_TRUE(this->kv().put("n", "k", "twelve"));
  EXPECT_EQ(this->kv().add("n", "k", 1).error().code, ErrorCode::invalid_argument);
  ASSERT_TRUE(this->kv().put("n", "most", std::to_string(std::numeric_limits<int64_t>::max())));
  EXPECT_EQ(this->kv().add("n", "most", 1).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(this->got("n", "most"), std::to_string(std::numeric_limits<int64_t>::max()));
}

TYPED_TEST_P(KeyValueContract, ListsKeepTheNewest) {
  for (const char* item : {"a", "b", "c", "d"}) ASSERT_TRUE(this->kv().push("n", "l", item, 3));
  EXPECT_EQ(*this->kv().items("n", "l"), (Texts{"b", "c", "d"}));
  EXPECT_EQ(*this->kv().items("n", "l", 1, 1), (Texts{"c"}));
  EXPECT_EQ(*this->kv().items("n", "l", 7, 1), Texts{});
  EXPECT_EQ(*this->kv().items("n", "none"), Texts{});
  EXPECT_EQ(*this->kv().push("n", "l", "e", 2), 2U);
  EXPECT_EQ(*this->kv().items("n", "l"), (Texts{"d", "e"}));
}

TYPED_TEST_P(KeyValueContract, TellsKindsApart) {
  ASSERT_TRUE(this->kv().put("n", "v", "1"));
  ASSERT_TRUE(this->kv().push("n", "l", "1", 3));
  EXPECT_EQ(this->kv().get("n", "l").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(this->kv().add("n", "l", 1).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(this->kv().push("n", "v", "x", 3).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(this->kv().items("n", "v").error().code, ErrorCode::invalid_argument);
  ASSERT_TRUE(this->kv().put("n", "l", "now a value"));
  EXPECT_EQ(this->got("n", "l"), "now a value");
}

TYPED_TEST_P(KeyValueContract, ListsKeysInOrderAndByPages) {
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(this->kv().put("n", "k" + std::to_string(100 + i), "v"));
  ASSERT_TRUE(this->kv().put("n", "other", "v"));
  Texts all, page;
  do {
    page = *this->kv().keys("n", "k", all.empty() ? "" : all.back(), 10);
    all.insert(all.end(), page.begin(), page.end());
  } while (!page.empty());
  ASSERT_EQ(all.size(), 25U);
  EXPECT_EQ(all.front(), "k100");
  EXPECT_EQ(all.back(), "k124");
  EXPECT_EQ(*this->kv().clear("n"), 26U);
  EXPECT_EQ(*this->kv().keys("n"), Texts{});
}

TYPED_TEST_P(KeyValueContract, RefusesNamesThatAreTooLong) {
  std::string longest(KeyValue::kLongestKey, 'k');
  EXPECT_TRUE(this->kv().put("n", longest, "v"));
  EXPECT_EQ(this->kv().put("n", longest + "k", "v").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(this->kv().put(std::string(KeyValue::kLongestName + 1, 'n'), "k", "v").error().code,
            ErrorCode::invalid_argument);
}

REGISTER_TYPED_TEST_SUITE_P(KeyValueContract, GivesBackWhatWasPut, KeepsNamespacesApart, ErasesAndSaysWhetherItWasThere,
                            ForgetsWhatExpired, TellsHowLongAKeyHasToLive, ANewPutReplacesTheExpiry, CountsAtomically,
                            CountersExpireFromTheirBeginning, RefusesToCountOnWhatIsNoNumber, ListsKeepTheNewest,
                            TellsKindsApart, ListsKeysInOrderAndByPages, RefusesNamesThatAreTooLong);

}  // namespace skep::store
