#include "memory/blocks.h"

#include <gtest/gtest.h>

#include <map>

namespace skep::memory {
namespace {

// Values in a map; the rest is not asked for.
class MapKeyValue final : public store::KeyValue {
 public:
  Result<std::optional<std::string>> get(std::string_view space, std::string_view key) override {
    const auto found = all.find(name(space, key));
    return found == all.end() ? std::nullopt : std::optional(found->second);
  }
  Status put(std::string_view space, std::string_view key, std::string_view value, std::optional<Duration>) override {
    all[name(space, key)] = value;
    return {};
  }
  Result<bool> erase(std::string_view space, std::string_view key) override { return all.erase(name(space, key)) > 0; }
  Result<std::optional<Duration>> ttl(std::string_view, std::string_view) override { return std::nullopt; }
  Result<int64_t> add(std::string_view, std::string_view, int64_t, std::optional<Duration>) override { return 0; }
  Result<size_t> push(std::string_view, std::string_view, std::string_view, size_t, std::optional<Duration>) override {
    return size_t{0};
  }
  Result<std::vector<std::string>> items(std::string_view, std::string_view, size_t, size_t) override {
    return std::vector<std::string>();
  }
  Result<std::vector<std::string>> keys(std::string_view space, std::string_view prefix, std::string_view after,
                                        size_t limit) override {
    std::vector<std::string> found;
    for (const auto& [key, value] : all) {
      if (key.first != space || !key.second.starts_with(prefix) || key.second <= after) continue;
      if (found.size() < limit) found.push_back(key.second);
    }
    return found;
  }
  Result<size_t> clear(std::string_view) override { return size_t{0}; }

 private:
  static std::pair<std::string, std::string> name(std::string_view space, std::string_view key) {
    return {std::string(space), std::string(key)};
  }
  std::map<std::pair<std::string, std::string>, std::string> all;
};

class BlocksTest : public testing::Test {
 protected:
  static Block block(std::string owner, std::string label, std::string value, uint64_t version = 0) {
    Block b;
    b.owner = std::move(owner);
    b.label = std::move(label);
    b.value = std::move(value);
    b.version = version;
    return b;
  }
  MapKeyValue values;
  ManualClock clock;
  Blocks blocks{values, clock};
};

TEST_F(BlocksTest, AVersionThatIsNoLongerTheLastLoses) {
  const auto first = blocks.put(block("ann", "user", "likes tea"), Writer::agent);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->version, 1U);
  ASSERT_TRUE(blocks.put(block("ann", "user", "likes coffee", 1), Writer::agent));
  const auto late = blocks.put(block("ann", "user", "likes water", 1), Writer::agent);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::conflict);
  EXPECT_FALSE(blocks.put(block("ann", "user", "anew"), Writer::agent)) << "there is one already";
  EXPECT_EQ((*blocks.get("ann", "user"))->value, "likes coffee");
  EXPECT_EQ((*blocks.get("ann", "user"))->version, 2U);
}

TEST_F(BlocksTest, SharedOnesAreEverybodysUnlessAnAgentHasItsOwn) {
  ASSERT_TRUE(blocks.put(block("", "house", "no smoking"), Writer::person));
  ASSERT_TRUE(blocks.put(block("", "tone", "friendly"), Writer::person));
  ASSERT_TRUE(blocks.put(block("ann", "tone", "terse"), Writer::agent));
  const auto of_ann = blocks.of("ann").value();
  ASSERT_EQ(of_ann.size(), 2U);
  EXPECT_EQ(of_ann[0].value, "no smoking");
  EXPECT_EQ(of_ann[1].value, "terse");
  EXPECT_EQ(blocks.of("bob").value()[1].value, "friendly");
  EXPECT_EQ(render(of_ann), "<house>\nno smoking\n</house>\n<tone>\nterse\n</tone>");
}

TEST_F(BlocksTest, ReadOnlyOnesAreForPeopleToWrite) {
  Block rule = block("", "rule", "be safe");
  rule.read_only = true;
  rule.limit = 10;
  EXPECT_FALSE(blocks.put(rule, Writer::agent));
  ASSERT_TRUE(blocks.put(rule, Writer::person));
  const auto by_agent = blocks.put(block("", "rule", "be quick", 1), Writer::agent);
  ASSERT_FALSE(by_agent);
  EXPECT_EQ(by_agent.error().code, ErrorCode::permission_denied);
  rule.version = 1;
  rule.value = "be kind";
  EXPECT_TRUE(blocks.put(rule, Writer::person));
}

TEST_F(BlocksTest, AnAgentKeepsToTheLimitThatWasSet) {
  Block small = block("ann", "note", "12345");
  small.limit = 5;
  ASSERT_TRUE(blocks.put(small, Writer::person));
  const auto longer = blocks.put(block("ann", "note", "123456", 1), Writer::agent);
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code, ErrorCode::too_large);
  EXPECT_FALSE(blocks.put(block("ann", "bad label", "x"), Writer::agent));
  EXPECT_FALSE(blocks.put(block("a/b", "label", "x"), Writer::agent));
}

TEST_F(BlocksTest, ThereAreOnlySoMany) {
  for (size_t i = 0; i < Blocks::kMostPerOwner; ++i) {
    ASSERT_TRUE(blocks.put(block("ann", "l" + std::to_string(i), "x"), Writer::agent));
  }
  EXPECT_FALSE(blocks.put(block("ann", "one-more", "x"), Writer::agent));
  EXPECT_EQ(*blocks.forget("ann"), Blocks::kMostPerOwner);
  EXPECT_TRUE(blocks.of("ann")->empty());
}

}  // namespace
}  // namespace skep::memory
