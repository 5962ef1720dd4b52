#include "store/lmdb_key_value.h"

#include "store/key_value_contract.h"
#include "store/testing_folder.h"

namespace skep::store {
namespace {

class LmdbFixture {
 public:
  LmdbFixture() : store_(*Store::open({.folder = folder_.path()})), kv_(*store_, clock_) {}
  LmdbKeyValue& kv() { return kv_; }
  Store& store() { return *store_; }
  void pass(Duration time) { clock_.advance(time); }

 private:
  TestingFolder folder_;
  ManualClock clock_;
  std::unique_ptr<Store> store_;
  LmdbKeyValue kv_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Lmdb, KeyValueContract, LmdbFixture);

TEST(LmdbKeyValue, SweepsWhatExpiredAndNothingElse) {
  LmdbFixture fixture;
  ASSERT_TRUE(fixture.kv().put("n", "a", "v", kShort));
  ASSERT_TRUE(fixture.kv().put("n", "b", "v", kShort));
  ASSERT_TRUE(fixture.kv().put("n", "b", "again", std::chrono::hours(1)));  // leaves no trace of its first expiry
  ASSERT_TRUE(fixture.kv().put("n", "c", "v"));
  EXPECT_EQ(*fixture.kv().sweep(), 0U);
  fixture.pass(2 * kShort);
  EXPECT_EQ(*fixture.kv().sweep(), 1U);
  EXPECT_EQ(fixture.store().scan("kv", {})->size(), 2U);
  EXPECT_EQ(fixture.store().scan("kv-due", {})->size(), 1U);
  fixture.pass(std::chrono::hours(2));
  EXPECT_EQ(*fixture.kv().sweep(), 1U);
  EXPECT_EQ(*fixture.kv().keys("n"), Texts{"c"});
}

}  // namespace
}  // namespace skep::store
