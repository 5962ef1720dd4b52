#include "engine/kv_cache.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "base/random.h"
#include "engine/parking_lot.h"
#include "engine/toy_forward.h"

namespace skep::engine {
namespace {

using ::testing::ElementsAre;

std::vector<Token> text(const std::string& s) { return {s.begin(), s.end()}; }

// Slots that evaluate on the toy what the cache does not give them.
struct Fixture {
  explicit Fixture(ToyOptions options = {}, int slots = 3, Parking* parking = nullptr)
      : forward(options), cache(forward, slots, clock, parking) {}

  // Evaluates `tokens` in `slot`, taking over what is known of all but the last. Returns what was taken over.
  int run(Slot slot, const std::vector<Token>& tokens, const Scope& scope = "") {
    const int taken = cache.take(slot, scope, std::span(tokens).first(tokens.size() - 1));
    const int rest = static_cast<int>(tokens.size()) - taken;
    EXPECT_TRUE(cache.make_room(rest));
    const Slice slice{slot, taken, std::span(tokens).subspan(static_cast<size_t>(taken)), 1};
    const auto done = forward.step({&slice, 1});
    EXPECT_TRUE(done) << (done ? "" : done.error().message);
    cache.advance(slot, rest);
    EXPECT_EQ(cache.used_cells(), forward.cells_used());
    return taken;
  }
  void end(Slot slot, const std::vector<Token>& tokens, const Scope& scope = "") {
    cache.publish(slot, scope, tokens);
    EXPECT_EQ(cache.used_cells(), forward.cells_used());
    cache.release(slot);
    EXPECT_EQ(cache.used_cells(), forward.cells_used());
  }

  ManualClock clock;
  ToyForward forward;
  KvCache cache;
};

TEST(KvCache, WhatASequenceLeftIsTakenOverByTheNextWithoutACopy) {
  Fixture f;
  EXPECT_EQ(f.run(0, text("common preamble, one")), 0);
  f.end(0, text("common preamble, one"));
  EXPECT_EQ(f.run(1, text("common preamble, two")), 17);
  EXPECT_EQ(f.cache.used_cells(), 20 + 3);
  f.end(1, text("common preamble, two"));
  EXPECT_EQ(f.run(2, text("common preamble, two more")), 20) << "the node was split where they part";
}

TEST(KvCache, ARunningSequenceSharesWhatItPublished) {
  Fixture f;
  f.run(0, text("preamble A"));
  f.cache.publish(0, "", text("preamble "));
  EXPECT_EQ(f.run(1, text("preamble B")), 9);
  EXPECT_EQ(f.cache.used_cells(), 11);
  f.end(0, text("preamble A"));
  f.end(1, text("preamble B"));
  EXPECT_EQ(f.cache.known("", text("preamble A")), 10);
  EXPECT_EQ(f.cache.known("", text("preamble B")), 10);
}

TEST(KvCache, ScopesNeverShare) {
  Fixture f;
  f.run(0, text("secret of one key"), "key 1");
  f.end(0, text("secret of one key"), "key 1");
  EXPECT_EQ(f.run(1, text("secret of one key"), "key 2"), 0);
  EXPECT_EQ(f.run(2, text("secret of one key!"), "key 1"), 17);
}

Scope with_public(const char* own, int tokens) {
  Scope scope(own);
  scope.open = "public";
  scope.open_tokens = tokens;
  return scope;
}

TEST(KvCache, APublicBeginningIsSharedByAllAndWhatFollowsByNobody) {
  Fixture f;
  const auto asked = text("house rules: my secret");
  EXPECT_EQ(f.run(0, asked, with_public("a", 11)), 0);
  f.end(0, asked, with_public("a", 11));
  EXPECT_EQ(f.cache.known(with_public("b", 11), asked), 11);
  EXPECT_EQ(f.run(1, asked, with_public("b", 11)), 11) << "no more, although it asks the very same";
  EXPECT_EQ(f.cache.used_cells(), 22 + 11);
  f.end(1, asked, with_public("b", 11));
  EXPECT_EQ(f.run(2, asked, with_public("a", 11)), 21) << "its own";
  EXPECT_EQ(f.cache.known("a", asked), 0) << "without anything public";
}

TEST(KvCache, AConversationThatGrowsBehindAPublicBeginningStaysItsCallers) {
  Fixture f;
  const auto rules = text("house rules");
  f.run(0, rules, with_public("a", 11));
  f.end(0, rules, with_public("a", 11));
  const auto asked = text("house rules: my secret");
  EXPECT_EQ(f.run(0, asked, with_public("a", 11)), 11);
  f.end(0, asked, with_public("a", 11));
  EXPECT_EQ(f.cache.known(with_public("b", 11), asked), 11);
  EXPECT_EQ(f.cache.known("public", asked), 11) << "the public node did not grow";
}

TEST(KvCache, OfTwoPublicBeginningsTheShorterIsSharedToo) {
  Fixture f;
  const auto asked = text("house rules: and more of them; what?");
  f.run(0, asked, with_public("a", 30));
  f.end(0, asked, with_public("a", 30));
  EXPECT_EQ(f.run(1, asked, with_public("b", 11)), 11);
  f.end(1, asked, with_public("b", 11));
  EXPECT_EQ(f.cache.known(with_public("c", 30), asked), 30);
  EXPECT_EQ(f.cache.known(with_public("b", 11), asked), 36);
}

TEST(KvCache, CellsThatASlotNeedsAreNeverEvicted) {
  Fixture f({.cells = 32});
  f.run(0, text("abcdefghij"));
  f.end(0, text("abcdefghij"));
  EXPECT_EQ(f.run(1, text("abcdefghijKL")), 10);
  EXPECT_EQ(f.cache.evictable_cells(), 0);
  EXPECT_FALSE(f.cache.make_room(25));
  EXPECT_TRUE(f.cache.make_room(20));
  EXPECT_THAT(f.forward.tokens_of(1), ::testing::ElementsAreArray(text("abcdefghijKL")));
  f.cache.release(1);
  EXPECT_EQ(f.cache.evictable_cells(), 10);
  EXPECT_TRUE(f.cache.make_room(32));
  EXPECT_EQ(f.forward.cells_used(), 0);
}

TEST(KvCache, WhatIsUsedOftenOutlivesWhatIsNot) {
  Fixture f({.cells = 40});
  f.run(0, text("often used"));
  f.end(0, text("often used"));
  for (int i = 0; i < 3; ++i) {
    f.run(0, text("often used!"));
    f.cache.release(0);
  }
  f.run(0, text("rarely use"));
  f.end(0, text("rarely use"));
  f.clock.advance(std::chrono::seconds(5));
  EXPECT_TRUE(f.cache.make_room(25));
  EXPECT_EQ(f.cache.known("", text("often used")), 10);
  EXPECT_EQ(f.cache.known("", text("rarely use")), 0);
}

TEST(KvCache, LeavesGoBeforeTheirParents) {
  Fixture f({.cells = 64});
  for (const char* t : {"shared beginning, a", "shared beginning, b"}) {
    f.run(0, text(t));
    f.end(0, text(t));
  }
  EXPECT_TRUE(f.cache.make_room(64 - 18));
  EXPECT_EQ(f.cache.known("", text("shared beginning, a")), 18);
}

TEST(KvCache, ASuspendedSequenceComesBackToItsCells) {
  Fixture f({.cells = 64});
  f.run(0, text("interrupted work"));
  f.cache.suspend(0, "", text("interrupted work"));
  f.run(1, text("something else that was used later"));
  f.end(1, text("something else that was used later"));
  f.clock.advance(std::chrono::seconds(100));
  EXPECT_TRUE(f.cache.make_room(40));
  EXPECT_EQ(f.cache.known("", text("interrupted work")), 16) << "the other one went first";
  EXPECT_EQ(f.cache.take(0, "", text("interrupted work")), 16);
}

TEST(KvCache, WithoutIdsThingsAreEvictedAndNothingBreaks) {
  Fixture f({.sequences = 5, .cells = 512}, 2);  // three ids for nodes
  for (char c = 'a'; c <= 'z'; ++c) {
    const auto t = text(std::string("prefix ") + c + " and a tail");
    f.run(0, t);
    f.end(0, t);
  }
  EXPECT_EQ(f.run(1, text("prefix z and a tail")), 18);
  EXPECT_LE(f.cache.used_cells(), 3 * 19 + 1);
}

TEST(KvCache, TheSameTextFromTwoSlotsIsKeptOnce) {
  Fixture f;
  f.run(0, text("twice the same"));
  f.run(1, text("twice the same"));
  f.end(0, text("twice the same"));
  f.end(1, text("twice the same"));
  EXPECT_EQ(f.cache.used_cells(), 14);
}

TEST(KvCache, MemoryThatCannotShareIsLeftAlone) {
  Fixture f({.can_share = false, .can_truncate = false});
  f.run(0, text("recurrent"));
  f.end(0, text("recurrent"));
  EXPECT_EQ(f.run(1, text("recurrent")), 0);
  f.cache.release(1);
  EXPECT_EQ(f.forward.cells_used(), 0);
}

TEST(KvCache, ARefusedDraftIsTakenBack) {
  Fixture f;
  f.run(0, text("text draft"));
  f.cache.truncate(0, 5, 10);
  EXPECT_EQ(f.forward.cells_used(), 5);
  EXPECT_EQ(f.cache.used_cells(), 5);
  f.end(0, text("text "));
  EXPECT_EQ(f.cache.known("", text("text draft")), 5);
}

// Random sequences in a small cache with few ids: the books agree with the toy, and what a slot sees is its text.
TEST(KvCache, WhoSharesABeginningWithWhatIsParkedLeavesTheRestParked) {
  ManualClock clock;
  ParkingLot lot({1_MiB, {}, {}, "toy"}, clock);
  Fixture f({}, 3, &lot);
  const auto old = text("hello, this is an old conversation");
  f.run(0, old);
  f.end(0, old);
  ASSERT_TRUE(f.cache.make_room(f.forward.limits().cells));
  ASSERT_EQ(f.cache.used_cells(), 0);
  EXPECT_EQ(f.run(0, text("help!")), 0) << "three tokens are not worth restoring the old one for";
  f.end(0, text("help!"));
  EXPECT_EQ(f.run(1, old), static_cast<int>(old.size()) - 1);
  f.end(1, old);
  EXPECT_EQ(f.run(2, text("help! again")), 5);
}

// Each worker shares a beginning with what the last one parked, and parts with it somewhere inside.
TEST(KvCache, SplitEntriesOutliveTheirWorkers) {
  namespace fs = std::filesystem;
  const fs::path directory = fs::temp_directory_path() / fmt::format("skep-kv-cache-test-{}", getpid());
  const std::vector<std::string> talks = {"hello, this is an old conversation", "hello, this is a new one", "help!",
                                          "hello, this is an old conversation, and it goes on"};
  for (size_t worker = 0; worker < talks.size(); ++worker) {
    ManualClock clock;
    ParkingLot lot({1_MiB, directory, 1_MiB, "toy"}, clock);
    Fixture f({}, 3, &lot);
    for (const auto& left : lot.survivors())
      EXPECT_TRUE(f.cache.adopt(left.scope, left.prefix, left.begin, left.ticket));
    for (size_t before = 0; before < worker; ++before) {
      EXPECT_EQ(f.cache.known("", text(talks[before])), static_cast<int>(talks[before].size())) << worker << before;
    }
    f.run(0, text(talks[worker]));
    f.end(0, text(talks[worker]));
    while (f.cache.park_copies(1) > 0) {
    }
  }
  fs::remove_all(directory);
}

class KvCacheOnDisk : public ::testing::Test {
 protected:
  ~KvCacheOnDisk() override { std::filesystem::remove_all(directory_); }
  ManualClock clock_;
  const std::filesystem::path directory_ =
      std::filesystem::temp_directory_path() / fmt::format("skep-kv-cache-disk-{}", getpid());
};

TEST_F(KvCacheOnDisk, APublicBeginningAndWhatFollowsOutliveTheirWorker) {
  const auto asked = text("house rules: my secret");
  {
    ParkingLot lot({1_MiB, directory_, 1_MiB, "toy"}, clock_);
    Fixture f({.batch_tokens = 512}, 3, &lot);
    f.run(0, asked, with_public("a", 11));
    f.end(0, asked, with_public("a", 11));
    while (f.cache.park_copies(1) > 0) {
    }
  }
  ParkingLot lot({1_MiB, directory_, 1_MiB, "toy"}, clock_);
  Fixture f({.batch_tokens = 512}, 3, &lot);
  for (const auto& left : lot.survivors()) {
    EXPECT_TRUE(f.cache.adopt(left.scope, left.prefix, left.begin, left.ticket));
  }
  EXPECT_EQ(f.cache.known(with_public("b", 11), asked), 11);
  EXPECT_EQ(f.run(0, asked, with_public("a", 11)), 21);
}

TEST_F(KvCacheOnDisk, WhatOneAgentSaidIsParkedInItsNameAndWhatAnotherTookOverInNobodys) {
  const auto of = [](const std::string& agent) {
    Scope scope("key");
    scope.owner = agent;
    return scope;
  };
  const auto say = [&](Fixture& f, const std::string& agent, const std::string& all) {
    f.run(0, text(all), of(agent));
    f.end(0, text(all), of(agent));
  };
  {
    ParkingLot lot({1_MiB, directory_, 1_MiB, "toy"}, clock_);
    Fixture f({.batch_tokens = 512}, 3, &lot);
    say(f, "ann", "house rules: ann asks");
    say(f, "bob", "house rules: bob asks");
    say(f, "ann", "house rules: ann asks, and asks on");
    say(f, "", "nobody's");
    while (f.cache.park_copies(1) > 0) {
    }
  }
  ParkingLot lot({1_MiB, directory_, 1_MiB, "toy"}, clock_);
  std::map<std::string, std::string> owners;  // by the text
  for (const auto& left : lot.survivors()) {
    owners[std::string(left.prefix.begin() + left.begin, left.prefix.end())] = left.scope.owner;
  }
  EXPECT_EQ(owners,
            (std::map<std::string, std::string>{
                {"house rules: ", ""}, {"ann asks, and asks on", "ann"}, {"bob asks", "bob"}, {"nobody's", ""}}));
}

// The first entry holds both, as nothing told where they part. The second agent's tail comes with the beginning itself.
TEST_F(KvCacheOnDisk, OnlyThePartBehindASharedBeginningIsStoredOnceThatIs) {
  ParkingLot lot({1_MiB, directory_, 1_MiB, "toy"}, clock_);
  Fixture f({.context_tokens = 512, .batch_tokens = 512}, 3, &lot);
  const std::string preamble(200, 'p');
  const auto park = [&](const std::string& whole) {
    f.run(0, text(whole));
    f.end(0, text(whole));
    EXPECT_TRUE(f.cache.make_room(f.forward.limits().cells));
    return lot.disk_used().count;
  };
  const int64_t one = park(preamble + std::string(20, 'a'));
  const int64_t per_token = one / 220;
  ASSERT_EQ(one, 220 * per_token);
  const int64_t two = park(preamble + std::string(30, 'b'));
  EXPECT_EQ(two, one + (200 + 30) * per_token);
  EXPECT_EQ(park(preamble + std::string(40, 'c')), two + 40 * per_token);
  EXPECT_EQ(park(preamble + std::string(25, 'd')), two + (40 + 25) * per_token);
}

TEST_F(KvCacheOnDisk, AContextThatIsLargerThanTheMemoryForItGoesToDisk) {
  constexpr auto kMemory = Bytes(150);
  const std::string whole = "a context that has many more cells than may wait in memory, in fact several times as many";
  {
    ParkingLot lot({kMemory, directory_, 1_MiB, "toy"}, clock_);
    Fixture f({.batch_tokens = 512}, 3, &lot);
    f.run(0, text(whole));
    f.end(0, text(whole));
    ASSERT_TRUE(f.cache.make_room(f.forward.limits().cells)) << "evicted";
    EXPECT_GT(lot.disk_used(), kMemory);
    EXPECT_LE(lot.memory_used(), kMemory);
    EXPECT_EQ(f.run(1, text(whole)), static_cast<int>(whole.size()) - 1);
    EXPECT_EQ(f.forward.tokens_of(1), text(whole));
    f.end(1, text(whole));
  }
  ParkingLot lot({kMemory, directory_, 1_MiB, "toy"}, clock_);
  Fixture f({.batch_tokens = 512}, 3, &lot);
  for (const auto& left : lot.survivors()) {
    EXPECT_TRUE(f.cache.adopt(left.scope, left.prefix, left.begin, left.ticket));
  }
  EXPECT_EQ(f.run(0, text(whole)), static_cast<int>(whole.size()) - 1) << "by the next worker";
}

TEST_F(KvCacheOnDisk, ACopyOfALargeContextIsFoundByTheNextWorker) {
  const std::string whole(120, 'w');
  {
    ParkingLot lot({Bytes(400), directory_, 1_MiB, "toy"}, clock_);
    Fixture f({.batch_tokens = 512}, 3, &lot);
    f.run(0, text(whole));
    f.end(0, text(whole));
    EXPECT_GT(f.cache.unparked_bytes(), 400);
    while (f.cache.park_copies(1) > 0) {
    }
    EXPECT_EQ(f.cache.unparked_bytes(), 0);
  }
  ParkingLot lot({Bytes(400), directory_, 1_MiB, "toy"}, clock_);
  Fixture f({.batch_tokens = 512}, 3, &lot);
  for (const auto& left : lot.survivors()) {
    EXPECT_TRUE(f.cache.adopt(left.scope, left.prefix, left.begin, left.ticket));
  }
  EXPECT_EQ(f.cache.known("", text(whole)), 120);
}

TEST(KvCache, WhatTheParkingLotForgotLeavesTheTree) {
  ManualClock clock;
  ParkingLot lot({Bytes(1000), {}, {}, "toy"}, clock);
  Fixture f({}, 3, &lot);
  for (int i = 0; i < 5000; ++i) {
    const auto tokens = text(fmt::format("{} is the number", i));
    f.run(0, tokens);
    f.end(0, tokens);
    ASSERT_LE(f.cache.nodes(), 600) << i;
  }
  EXPECT_EQ(f.cache.known("", text("4999 is the number")), 18) << "the last one is still there";
}

// Of a text in the test below: one of two callers, by its last letter; what is public, by its length.
Scope scope_of(const std::vector<Token>& tokens) {
  const auto length = static_cast<int>(tokens.size());
  return with_public(tokens.back() == 'a' ? "a" : "b", length % 3 == 0 ? 0 : length / 3);
}

TEST(KvCache, RandomUseKeepsTheBooksRight) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    ManualClock clock;
    ParkingLot lot({Bytes(random.below(600)), {}, {}, "toy"}, clock);
    Fixture f({.sequences = 4 + static_cast<int>(random.below(12)), .cells = 120}, 3, seed % 2 == 0 ? &lot : nullptr);
    std::map<Slot, std::vector<Token>> running;
    for (int i = 0; i < 300; ++i) {
      const Slot slot = static_cast<Slot>(random.below(3));
      f.clock.advance(std::chrono::milliseconds(random.below(500)));
      const auto it = running.find(slot);
      if (it == running.end()) {
        std::string s;
        for (uint32_t n = 2 + random.below(25); n > 0; --n) s += static_cast<char>('a' + random.below(2));
        f.run(slot, text(s), scope_of(text(s)));
        running[slot] = text(s);
        continue;
      }
      ASSERT_EQ(f.forward.tokens_of(slot), it->second);
      switch (random.below(5)) {
        case 4:
          f.cache.park_copies(1);
          break;
        case 0:
          f.cache.publish(slot, scope_of(it->second),
                          std::span(it->second).first(1 + random.below(static_cast<uint32_t>(it->second.size()))));
          break;
        case 1:
          f.end(slot, it->second, scope_of(it->second));
          running.erase(it);
          break;
        case 2:
          f.cache.suspend(slot, scope_of(it->second), it->second);
          running.erase(it);
          break;
        default:
          f.cache.release(slot);
          running.erase(it);
      }
      ASSERT_EQ(f.cache.used_cells(), f.forward.cells_used()) << "seed " << seed << " step " << i;
    }
    for (const auto& [slot, tokens] : running) f.cache.release(slot);
    EXPECT_TRUE(f.cache.make_room(120));
    EXPECT_EQ(f.forward.cells_used(), 0);
  }
}

}  // namespace
}  // namespace skep::engine
