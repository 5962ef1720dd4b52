#include "cache/order_journal.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "store/lmdb_key_value.h"
#include "store/testing_folder.h"

namespace skep::cache {
namespace {

class OrderJournalTest : public ::testing::Test {
 protected:
  void reopen() {
    values_.reset();
    store_.reset();
    store_ = *store::Store::open({.folder = folder_.path()});
    values_.emplace(*store_, clock_);
  }
  OrderJournalTest() { reopen(); }
  // As text, in order.
  std::vector<std::string> left(const std::string& name) {
    std::vector<std::string> all;
    const auto orders = OrderJournal(*values_, name).load().value();
    for (const auto& o : orders) all.push_back(fmt::format("{} {}{}", o.number, o.forget ? "forget " : "", o.tag));
    return all;
  }

  store::TestingFolder folder_;
  SystemClock clock_;
  std::unique_ptr<store::Store> store_;
  std::optional<store::LmdbKeyValue> values_;
};

TEST_F(OrderJournalTest, WhatIsNotedIsThereAfterARestartInItsOrderUntilItIsRemoved) {
  const std::string bytes("agent:a\0\xff", 9);
  {
    OrderJournal journal(*values_, "redis");
    for (const uint64_t number : {9, 255, 256}) ASSERT_TRUE(journal.add({number, bytes, number == 255}));
    ASSERT_TRUE(journal.add({10, "t", false}));
  }
  reopen();
  EXPECT_EQ(left("redis"), (std::vector<std::string>{"9 " + bytes, "10 t", "255 forget " + bytes, "256 " + bytes}));
  OrderJournal journal(*values_, "redis");
  ASSERT_TRUE(journal.remove(10));
  ASSERT_TRUE(journal.remove(77)) << "none of ours";
  reopen();
  EXPECT_EQ(left("redis").size(), 3U);
}

TEST_F(OrderJournalTest, EachPlaceHasItsOwn) {
  ASSERT_TRUE(OrderJournal(*values_, "redis").add({1, "a", false}));
  EXPECT_TRUE(left("redis2").empty());
  EXPECT_TRUE(left("red").empty());
}

TEST_F(OrderJournalTest, AnOrderThatCantBeReadIsForEverything) {
  ASSERT_TRUE(values_->put("cache-orders", "redis:0000000000000003", "?"));
  EXPECT_EQ(left("redis"), std::vector<std::string>{"3 *"});
  ASSERT_TRUE(values_->put("cache-orders", "redis:word", "ia"));
  EXPECT_EQ(OrderJournal(*values_, "redis").load().error().code, ErrorCode::corrupt);
}

TEST_F(OrderJournalTest, ReadsMoreThanOnePage) {
  OrderJournal journal(*values_, "redis");
  for (uint64_t i = 1; i <= 2500; ++i) ASSERT_TRUE(journal.add({i, "t", false}));
  EXPECT_EQ(left("redis").size(), 2500U);
}

}  // namespace
}  // namespace skep::cache
