#include "engine/native/team.h"

#include <gtest/gtest.h>

#include <numeric>

namespace skep::engine::native {
namespace {

TEST(Team, GivesEveryChunkToExactlyOneMember) {
  for (const int threads : {1, 2, 5}) {
    Team team(threads);
    for (const int chunks : {0, 1, 3, 64}) {
      std::vector<std::atomic<int>> taken(static_cast<size_t>(chunks));
      team.run(threads,
               [&](Member& member) { member.phase(chunks, [&](int chunk) { ++taken[static_cast<size_t>(chunk)]; }); });
      for (const auto& count : taken) EXPECT_EQ(count.load(), 1) << threads << " threads, " << chunks << " chunks";
    }
  }
}

TEST(Team, LetsNobodyOnBeforeAllChunksAreDone) {
  Team team(4);
  constexpr int kPhases = 200, kChunks = 16;
  std::vector<std::atomic<int>> done(kPhases);
  std::atomic<int> early{0};
  team.run(4, [&](Member& member) {
    for (int phase = 0; phase < kPhases; ++phase) {
      if (phase > 0 && done[static_cast<size_t>(phase - 1)].load() != kChunks) ++early;
      member.phase(kChunks, [&](int) { ++done[static_cast<size_t>(phase)]; });
    }
  });
  EXPECT_EQ(early.load(), 0);
  for (const auto& count : done) EXPECT_EQ(count.load(), kChunks);
}

TEST(Team, RunsWithFewerMembersThanItHas) {
  Team team(4);
  for (const int members : {1, 3, 2, 4, 1, 4}) {
    std::atomic<int> here{0}, chunks{0};
    team.run(members, [&](Member& member) {
      EXPECT_EQ(member.size(), members);
      EXPECT_LT(member.index(), members);
      ++here;
      member.phase(8, [&](int) { ++chunks; });
    });
    EXPECT_LE(here.load(), members);
    EXPECT_EQ(chunks.load(), 8);
  }
}

TEST(Team, TakesOverWhatALateMemberHasNotBegun) {
  Team team(2);
  std::atomic<bool> release{false};
  std::vector<int> by_caller(20);
  team.run(2, [&](Member& member) {
    member.phase(20, [&](int chunk) {
      if (member.index() == 1) {
        while (!release.load()) std::this_thread::yield();  // stuck in its first chunk until all others are done
        return;
      }
      by_caller[static_cast<size_t>(chunk)] = 1;
      if (std::accumulate(by_caller.begin(), by_caller.end(), 0) >= 19) release = true;
    });
    release = true;
  });
  EXPECT_GE(std::accumulate(by_caller.begin(), by_caller.end(), 0), 19);
}

TEST(Team, WaitsForNobodyWhoHoldsNoChunk) {
  Team team(2);
  std::atomic<bool> released{false};
  std::atomic<int> done{0}, late{0};
  team.run(2, [&](Member& member) {
    if (member.index() == 1) {
      while (!released.load()) std::this_thread::yield();  // away all the while
    }
    for (int phase = 0; phase < 100; ++phase) {
      member.phase(7, [&](int) {
        ++done;
        if (member.index() == 1) ++late;
      });
    }
    released = true;
  });
  EXPECT_EQ(done.load(), 700);
  EXPECT_EQ(late.load(), 0) << "all phases were over when it came";
}

TEST(Team, LetsMembersLeaveBetweenPhases) {
  Team team(3);
  for (int run = 0; run < 50; ++run) {
    std::atomic<int> done{0};
    team.run(3, [&](Member& member) {
      for (int phase = 0; phase < 20; ++phase) {
        if (member.index() != 0 && phase == member.index() + run % 5) return;
        member.phase(5, [&](int) { ++done; });
      }
    });
    ASSERT_EQ(done.load(), 100);
  }
}

TEST(Team, SpinsLessWhereSpinningDoesNotHelp) {
  Team team(2);
  const uint32_t before = team.spin_limit();
  for (int i = 0; i < 3; ++i) {
    std::atomic<bool> held{false};
    team.run(2, [&](Member& member) {
      // Member 0 waits for a chunk of another that takes far longer than any spin.
      if (member.index() == 0) {
        while (!held.load()) std::this_thread::yield();
      }
      member.phase(1, [&](int) {
        held = true;
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
        while (std::chrono::steady_clock::now() < until) {
        }
      });
    });
  }
  EXPECT_LT(team.spin_limit(), before);
  EXPECT_GT(team.stalled().count(), 0);
}

}  // namespace
}  // namespace skep::engine::native
