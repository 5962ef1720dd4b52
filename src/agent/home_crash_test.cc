// kill -9 in the middle of agents' lives: whoever wakes afterwards is as its twin was after the last change that was
// acknowledged, or after the one that was under way.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "agent/home.h"
#include "agent/random_life.h"
#include "base/simulated_event_loop.h"
#include "store/testing_folder.h"

namespace skep::agent {
namespace {

constexpr int kAgents = 6;
constexpr uint64_t kSeed = 31;

int who_lives(int64_t step) { return static_cast<int>(mix_bits(static_cast<uint64_t>(step)) % kAgents); }
std::string name_of(int who) { return "agent" + std::to_string(who); }

// Lives on from `step` until it is killed; tells of each acknowledged change.
[[noreturn]] void live_on(const std::string& folder, int64_t step, int pipe) {
  auto store = store::Store::open({.folder = folder});
  if (!store) ::_exit(3);
  AgentStore agents(**store);
  SimulatedEventLoop loop;
  HomeOptions options;
  options.memory = 100_KiB;
  Home home(loop, agents, options);
  for (;; ++step) {
    Status done = fail(ErrorCode::internal, "");
    home.visit(name_of(who_lives(step)), [&](Result<Visit> visit) {
      if (visit) done = visit->change([&](AgentState& state) { return live(state, kSeed, step); });
    });
    loop.run_ready();
    if (!done) ::_exit(4);
    if (::write(pipe, &step, sizeof step) != sizeof step) ::_exit(5);
  }
}

TEST(HomeCrash, WhoeverWakesAfterAKillIsAsItsTwin) {
  store::TestingFolder folder;
  std::vector<AgentState> twins(kAgents);
  int64_t next = 0;  // the first step that was not acknowledged
  Random random(5);
  for (int trial = 0; trial < 25; ++trial) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) live_on(folder.path(), next, ends[1]);
    ::close(ends[1]);
    int64_t step = 0;
    int64_t first = next;
    std::thread killer;
    while (::read(ends[0], &step, sizeof step) == sizeof step) {
      ASSERT_EQ(step, next);
      ASSERT_TRUE(live(twins[static_cast<size_t>(who_lives(step))], kSeed, step));
      ++next;
      if (!killer.joinable()) {
        killer = std::thread([child, life = std::chrono::microseconds(random.below(90'000))] {
          std::this_thread::sleep_for(life);
          ::kill(child, SIGKILL);
        });
      }
    }
    if (killer.joinable()) killer.join();
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended with " << WEXITSTATUS(status);
    EXPECT_GT(next, first);

    auto store = store::Store::open({.folder = folder.path()});
    ASSERT_TRUE(store) << store.error().text();
    AgentStore agents(**store);
    auto under_way = static_cast<size_t>(who_lives(next));
    for (size_t who = 0; who < kAgents; ++who) {
      auto state = agents.load(name_of(static_cast<int>(who)));
      ASSERT_TRUE(state) << state.error().text();
      if (who == under_way && !(*state == twins[who])) {
        ASSERT_TRUE(live(twins[who], kSeed, next));
        ++next;
      }
      ASSERT_EQ(*state, twins[who]) << "trial " << trial << ", agent " << who;
    }
  }
}

}  // namespace
}  // namespace skep::agent
