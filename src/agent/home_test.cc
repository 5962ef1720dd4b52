#include "agent/home.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <thread>

#include "agent/random_life.h"
#include "base/asio_event_loop.h"
#include "base/simulated_event_loop.h"
#include "store/testing_folder.h"

namespace skep::agent {
namespace {

using namespace std::chrono_literals;

Status say(AgentState& state, const std::string& content) {
  Turn turn;
  turn.message.content = content;
  return state.say("t", std::move(turn));
}

struct HomeTest : ::testing::Test {
  store::TestingFolder folder;
  std::unique_ptr<store::Store> store = *store::Store::open({.folder = folder.path()});
  AgentStore agents{*store};
  SimulatedEventLoop loop;
  HomeOptions options;
  std::unique_ptr<Home> home;

  void move_in() { home = std::make_unique<Home>(loop, agents, options); }

  Result<Visit> visit(const std::string& agent) {
    Result<Visit> got = fail(ErrorCode::internal, "never called");
    home->visit(agent, [&](Result<Visit> visit) { got = std::move(visit); });
    loop.run_ready();
    return got;
  }
  void write(const std::string& agent, const std::string& content) {
    auto here = visit(agent);
    ASSERT_TRUE(here) << here.error().text();
    ASSERT_TRUE(here->change([&](AgentState& state) { return say(state, content); }));
  }
};

TEST_F(HomeTest, AnAgentSleepsWhenItsTimeComesAndFindsEverything) {
  options.sleep_after = 1min;
  move_in();
  EXPECT_EQ(home->phase("a"), Phase::asleep);
  auto here = visit("a");
  ASSERT_TRUE(here);
  EXPECT_EQ(home->phase("a"), Phase::active);
  ASSERT_TRUE(here->change([](AgentState& state) { return say(state, "hello"); }));
  AgentState before = here->state();
  here->leave();
  EXPECT_EQ(home->phase("a"), Phase::idle);
  loop.advance(50s);
  EXPECT_EQ(home->phase("a"), Phase::idle);
  loop.advance(20s);
  EXPECT_EQ(home->phase("a"), Phase::asleep);
  EXPECT_EQ(home->memory(), 0_B);
  EXPECT_EQ(visit("a")->state(), before);
  EXPECT_EQ(home->counters().wakes, 2);
}

TEST_F(HomeTest, AVisitPostponesSleepAndPins) {
  options.sleep_after = 1min;
  move_in();
  auto here = visit("a");
  loop.advance(10min);
  EXPECT_EQ(home->phase("a"), Phase::active);
  here->leave();
  loop.advance(50s);
  visit("a")->leave();
  loop.advance(50s);
  EXPECT_EQ(home->phase("a"), Phase::idle) << "idle since its last visit";
}

TEST_F(HomeTest, NothingIsReplacedUnderOneWhoIsWaking) {
  move_in();
  write("a", "hello");
  auto text = agents.export_agent("a");
  ASSERT_TRUE(text);
  write("a", "and more");
  loop.advance(1h);
  ASSERT_EQ(home->phase("a"), Phase::asleep);
  std::optional<Visit> here;
  home->visit("a", [&](Result<Visit> visit) { here = std::move(*visit); });
  ASSERT_EQ(home->phase("a"), Phase::waking);
  EXPECT_EQ(home->forget("a").error().code, ErrorCode::conflict);
  EXPECT_EQ(home->import_agent("a", *text).error().code, ErrorCode::conflict);
  loop.run_ready();
  ASSERT_TRUE(here);
  here->leave();
  EXPECT_TRUE(home->import_agent("a", *text));
  EXPECT_EQ(visit("a")->state(), *agents.load("a"));
}

TEST_F(HomeTest, ManyWaitForOneWakeAndItIsReadOnce) {
  move_in();
  std::vector<Visit> visits;
  for (int i = 0; i < 5; ++i) {
    home->visit("a", [&](Result<Visit> visit) { visits.push_back(std::move(*visit)); });
  }
  EXPECT_TRUE(visits.empty()) << "never from inside the call";
  EXPECT_EQ(home->phase("a"), Phase::waking);
  loop.run_ready();
  EXPECT_EQ(visits.size(), 5U);
  EXPECT_EQ(home->counters().wakes, 1);
}

TEST_F(HomeTest, MemoryPressurePutsIdleOnesToSleepDownToTheTarget) {
  options.memory = 400_KiB;
  move_in();
  std::string text(10'000, 'x');
  for (int i = 0; i < 30; ++i) write("a" + std::to_string(i), text);
  EXPECT_GT(home->memory(), 280_KiB);
  EXPECT_EQ(home->counters().sleeps, 0) << "below 80 %";
  for (int i = 30; i < 34; ++i) write("a" + std::to_string(i), text);
  EXPECT_GT(home->counters().pressed, 0);
  EXPECT_LE(home->memory(), 320_KiB);
  int64_t pressed = home->counters().pressed;
  write("a0", "a little");
  EXPECT_LE(home->counters().pressed, pressed + 3) << "hysteresis: not one out for one in";
}

TEST_F(HomeTest, WhoIsVisitedStaysWhateverThePressure) {
  options.memory = 100_KiB;
  move_in();
  std::vector<Visit> held;
  for (int i = 0; i < 20; ++i) {
    auto here = visit("a" + std::to_string(i));
    ASSERT_TRUE(here->change([&](AgentState& state) { return say(state, std::string(10'000, 'x')); }));
    held.push_back(std::move(*here));
  }
  EXPECT_EQ(home->awake(), 20U);
  EXPECT_GT(home->memory(), 100_KiB);
  held.clear();
  EXPECT_LE(home->memory(), 80_KiB);
}

TEST_F(HomeTest, WhoIsVisitedOftenStaysThroughACrowdOfStrangers) {
  options.memory = 400_KiB;
  move_in();
  std::string text(8'000, 'x');
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 10; ++i) write("regular" + std::to_string(i), round == 0 ? text : "x");
  }
  for (int i = 0; i < 200; ++i) write("stranger" + std::to_string(i), text);
  int stayed = 0;
  for (int i = 0; i < 10; ++i) stayed += home->phase("regular" + std::to_string(i)) == Phase::idle ? 1 : 0;
  EXPECT_GE(stayed, 8);
}

// A loop whose blocking pool never comes back, as with a dead disk.
class StuckLoop final : public EventLoop {
 public:
  const Clock& clock() const override { return inner.clock(); }
  void post(std::function<void()> work) override { inner.post(std::move(work)); }
  TimerId after(Duration delay, std::function<void()> work) override { return inner.after(delay, std::move(work)); }
  void cancel(TimerId timer) override { inner.cancel(timer); }
  void blocking(std::function<void()> work, std::function<void()> done) override {
    stuck.emplace_back(std::move(work), std::move(done));
  }
  SimulatedEventLoop inner;
  std::vector<std::pair<std::function<void()>, std::function<void()>>> stuck;
};

TEST_F(HomeTest, WakesAreBoundedAndTimeOut) {
  StuckLoop stuck;
  options.wakes_at_once = 3;
  options.wakes_waiting = 10;
  home = std::make_unique<Home>(stuck, agents, options);
  int timeouts = 0, refused = 0;
  for (int i = 0; i < 12; ++i) {
    home->visit("a" + std::to_string(i), [&](Result<Visit> visit) {
      ASSERT_FALSE(visit);
      if (visit.error().code == ErrorCode::deadline_exceeded) ++timeouts;
      if (visit.error().code == ErrorCode::overloaded) ++refused;
    });
  }
  stuck.inner.run_ready();
  EXPECT_EQ(stuck.stuck.size(), 3U);
  EXPECT_EQ(refused, 2);
  stuck.inner.advance(31s);
  EXPECT_EQ(timeouts, 10);
  for (auto& [work, done] : stuck.stuck) {  // the disk comes back: nobody is waiting, and nothing breaks
    work();
    done();
  }
  EXPECT_EQ(home->awake(), 0U);
  home.reset();  // before its loop
}

TEST_F(HomeTest, AWakeTellsWhatIsParkedOfTheAgent) {
  AgentState state;
  state.was_active(WallTime(std::chrono::hours(1)));
  ASSERT_TRUE(agents.save("a", state));
  const std::map<std::string, ParkedCells> files = {{"one.kv", {"model", 0, 30, 5_B}}};
  ASSERT_TRUE(agents.note_parked("a", files));
  move_in();
  int woke = 0;
  home->on_event([&](const Home::Event& event) {
    if (event.kind != Home::Event::Kind::woke) return;
    ++woke;
    ASSERT_NE(event.state, nullptr);
    EXPECT_EQ(event.state->parked(), files);
  });
  EXPECT_TRUE(visit("a"));
  EXPECT_EQ(woke, 1);
}

TEST_F(HomeTest, ABrokenAgentIsQuarantinedAndNamedOnce) {
  ASSERT_TRUE(store->put("agent", std::string("bad\0c", 5), "\x01nonsense"));
  move_in();
  std::vector<std::string> heard;
  home->on_event([&](const Home::Event& event) {
    if (event.kind == Home::Event::Kind::quarantined) heard.push_back(event.agent + ": " + event.reason);
  });
  EXPECT_EQ(visit("bad").error().code, ErrorCode::corrupt);
  EXPECT_EQ(visit("bad").error().code, ErrorCode::corrupt);
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_NE(heard[0].find("'bad'"), std::string::npos);
  EXPECT_EQ(home->phase("bad"), Phase::quarantined);
  EXPECT_TRUE(visit("good"));
  ASSERT_TRUE(home->forget("bad"));
  EXPECT_TRUE(visit("bad"));
}

TEST_F(HomeTest, ARefusedChangeLeavesMemoryAsTheDiskHasIt) {
  move_in();
  auto here = visit("a");
  ASSERT_TRUE(here->change([](AgentState& state) { return say(state, "kept"); }));
  AgentState before = here->state();
  Status refused = here->change([](AgentState& state) -> Status {
    SKEP_CHECK(say(state, "not kept"));
    return fail(ErrorCode::conflict, "changed its mind");
  });
  EXPECT_FALSE(refused);
  EXPECT_EQ(here->state(), before);
  EXPECT_EQ(*agents.load("a"), before);
}

TEST_F(HomeTest, AVisitMayOutliveItsHome) {
  move_in();
  auto here = visit("a");
  home->visit("b", [](Result<Visit>) {});
  home.reset();
  loop.run_ready();
  here->leave();
}

// Random lives of agents that are put to sleep all the time, against twins that never sleep.
TEST_F(HomeTest, SleepersFindThemselvesAsTheirSleeplessTwins) {
  options.memory = 200_KiB;
  options.sleep_after = 3s;
  options.bucket = 1s;
  move_in();
  constexpr int kAgents = 12;
  std::vector<AgentState> twins(kAgents);
  Random random(77);
  for (int step = 0; step < 3000; ++step) {
    uint32_t who = random.below(kAgents);
    auto here = visit("agent" + std::to_string(who));
    ASSERT_TRUE(here) << here.error().text();
    ASSERT_EQ(here->state(), twins[who]) << "step " << step;
    ASSERT_TRUE(here->change([&](AgentState& state) { return live(state, who, step); }));
    ASSERT_TRUE(live(twins[who], who, step));
    ASSERT_EQ(here->state(), twins[who]) << "step " << step;
    here->leave();
    if (random.below(4) == 0) loop.advance(std::chrono::milliseconds(random.below(4000)));
    if (random.below(500) == 0) {  // the daemon starts anew
      home.reset();
      store.reset();
      store = *store::Store::open({.folder = folder.path()});
      agents = AgentStore(*store);
      move_in();
    }
  }
  EXPECT_GT(home->counters().sleeps + home->counters().wakes, 100);
}

TEST(HomeThatWaitsForTheDisk, TellsOnItsLoopWhenTheDiskHasIt) {
  store::TestingFolder folder;
  AsioEventLoop loop;
  auto store = *store::Store::open({.folder = folder.path(), .durability = store::Durability::always});
  AgentStore agents(*store);
  Home home(loop, agents, {});
  const auto run_until = [&](const auto& holds) {
    while (!holds()) {
      loop.context().restart();
      loop.context().run_one();
    }
  };
  std::optional<Visit> here;
  home.visit("a", [&](Result<Visit> visit) { here = std::move(*visit); });
  run_until([&] { return here.has_value(); });
  std::vector<std::string> told;
  for (const char* word : {"one", "two"}) {
    ASSERT_TRUE(here->change([&](AgentState& state) { return say(state, word); },
                             [&told, word, loops = std::this_thread::get_id()](const Status& safe) {
                               EXPECT_TRUE(safe);
                               EXPECT_EQ(std::this_thread::get_id(), loops);
                               told.push_back(word);
                             }));
  }
  EXPECT_EQ(here->state().conversation("t")->turns(), 2U) << "seen at once";
  EXPECT_TRUE(told.empty()) << "the loop has not run";
  here.reset();  // who is not visited any more hears it all the same
  run_until([&] { return told.size() == 2; });
  EXPECT_EQ(told, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(home.phase("a"), Phase::idle);
}

}  // namespace
}  // namespace skep::agent
