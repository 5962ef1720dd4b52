#include "model/load_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace skep::model {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<Reservation> need(Bytes bytes) { return {{.device = "host", .weights = bytes}}; }

// A ledger of 1000 bytes with the engines of a case in it.
struct Box {
  Ledger ledger{std::vector<Ledger::Book>{{"host", 1000_B}}};
  std::vector<AliveEngine> alive;
  void add(AliveEngine engine, Bytes bytes) {
    engine.owner = "engine " + engine.model;
    ASSERT_TRUE(ledger.reserve(engine.owner, need(bytes)));
    alive.push_back(std::move(engine));
  }
};

TEST(LoadPlan, StartsWhatFits) {
  Box box;
  box.add({.model = "a"}, 400_B);
  EXPECT_TRUE(plan_load(box.ledger, "x", need(600_B), box.alive, 0).start);
}

TEST(LoadPlan, LetsTheOneGoWhoseLossIsLeast) {
  Box box;
  box.add({.model = "a", .reload_cost = 3s, .chance_of_use = 1}, 400_B);
  box.add({.model = "b", .reload_cost = 1s, .chance_of_use = 1}, 400_B);
  LoadPlan plan = plan_load(box.ledger, "x", need(600_B), box.alive, 0);
  EXPECT_THAT(plan.unload, ElementsAre("b"));
  EXPECT_THAT(plan.drain, IsEmpty());
  EXPECT_FALSE(plan.start);
}

TEST(LoadPlan, TwoCheapOnesGoRatherThanOneDearOne) {
  Box box;
  box.add({.model = "dear", .reload_cost = 10s, .chance_of_use = 1}, 500_B);
  box.add({.model = "a", .reload_cost = 1s, .chance_of_use = 1}, 200_B);
  box.add({.model = "b", .reload_cost = 2s, .chance_of_use = 1}, 300_B);
  EXPECT_THAT(plan_load(box.ledger, "x", need(500_B), box.alive, 0).unload, UnorderedElementsAre("a", "b"));
  EXPECT_THAT(plan_load(box.ledger, "x", need(200_B), box.alive, 0).unload, ElementsAre("a"));
}

TEST(LoadPlan, NeverUnloadsABusyEngineAndDrainsItOnlyWhenIdleOnesDontSuffice) {
  Box box;
  box.add({.model = "busy", .busy = true, .reload_cost = 0s, .chance_of_use = 1}, 500_B);
  box.add({.model = "idle", .reload_cost = 100s, .chance_of_use = 1}, 400_B);
  LoadPlan plan = plan_load(box.ledger, "x", need(400_B), box.alive, 0);
  EXPECT_THAT(plan.unload, ElementsAre("idle"));
  EXPECT_THAT(plan.drain, IsEmpty());
  plan = plan_load(box.ledger, "x", need(900_B), box.alive, 0);
  EXPECT_THAT(plan.unload, ElementsAre("idle"));
  EXPECT_THAT(plan.drain, ElementsAre("busy"));
}

TEST(LoadPlan, WaitsForThoseThatLeaveInsteadOfChoosingMore) {
  Box box;
  box.add({.model = "going", .leaving = true}, 500_B);
  box.add({.model = "idle"}, 400_B);
  LoadPlan plan = plan_load(box.ledger, "x", need(600_B), box.alive, 0);
  EXPECT_FALSE(plan.start);
  EXPECT_FALSE(plan.never);
  EXPECT_THAT(plan.unload, IsEmpty());
}

TEST(LoadPlan, RefusesWhatCanNeverFitWithTheNumbersAndTheWayOut) {
  Box box;
  box.add({.model = "a"}, 400_B);
  LoadPlan plan = plan_load(box.ledger, "huge", need(4096_B), box.alive, 0);
  ASSERT_TRUE(plan.never);
  EXPECT_EQ(plan.never->code, ErrorCode::out_of_memory);
  EXPECT_THAT(plan.never->message,
              HasSubstr("'huge' needs 4.00 KiB on host, at most 0.98 KiB of its 0.98 KiB can be had"));
  EXPECT_THAT(plan.never->hint, HasSubstr("memory.budget"));
  EXPECT_THAT(plan.unload, IsEmpty()) << "nobody leaves in vain";
}

TEST(LoadPlan, SaysThatAPinnedModelIsInTheWay) {
  Box box;
  box.add({.model = "pinned", .pinned = true}, 400_B);
  LoadPlan plan = plan_load(box.ledger, "x", need(700_B), box.alive, 0);
  ASSERT_TRUE(plan.never);
  EXPECT_THAT(plan.never->hint, HasSubstr("unpin"));
}

TEST(LoadPlan, KeepsToTheCapOnLoadedModels) {
  Box box;
  box.add({.model = "a", .reload_cost = 2s, .chance_of_use = 1}, 10_B);
  box.add({.model = "b", .reload_cost = 1s, .chance_of_use = 1}, 10_B);
  EXPECT_THAT(plan_load(box.ledger, "x", need(10_B), box.alive, 2).unload, ElementsAre("b"));
  EXPECT_TRUE(plan_load(box.ledger, "x", need(10_B), box.alive, 3).start);
  box.alive[0].pinned = box.alive[1].pinned = true;
  EXPECT_THAT(plan_load(box.ledger, "x", need(10_B), box.alive, 2).never->message, HasSubstr("2 places"));
}

TEST(LoadPlan, ALoadingEngineIsWaitedFor) {
  Box box;
  box.add({.model = "a", .loading = true}, 800_B);
  LoadPlan plan = plan_load(box.ledger, "x", need(500_B), box.alive, 0);
  EXPECT_FALSE(plan.start || plan.never);
  EXPECT_THAT(plan.drain, IsEmpty());
}

TEST(LoadPlan, ReliefTakesIdleOnesFirst) {
  Box box;
  box.add({.model = "grown", .busy = true, .reload_cost = 1s, .chance_of_use = 1}, 400_B);
  box.add({.model = "a", .reload_cost = 5s, .chance_of_use = 1}, 300_B);
  box.add({.model = "b", .reload_cost = 2s, .chance_of_use = 1}, 300_B);
  EXPECT_THAT(plan_relief(box.ledger, box.alive).unload, IsEmpty());
  box.ledger.correct("engine grown", need(600_B));
  LoadPlan plan = plan_relief(box.ledger, box.alive);
  EXPECT_THAT(plan.unload, ElementsAre("b"));
  EXPECT_THAT(plan.drain, IsEmpty());
  box.ledger.correct("engine grown", need(1100_B));
  plan = plan_relief(box.ledger, box.alive);
  EXPECT_THAT(plan.drain, ElementsAre("grown"));
}

TEST(LoadPlan, MakesRoomOnEveryDeviceAndKeepsWhatThatMakesUnnecessary) {
  Ledger ledger({{"host", 100_B}, {"gpu0", 100_B}});
  auto engine = [](const char* name, Duration cost) {
    return AliveEngine{.model = name, .owner = name, .reload_cost = cost, .chance_of_use = 1};
  };
  ASSERT_TRUE(ledger.reserve("host only", {{.device = "host", .weights = 50_B}}));
  ASSERT_TRUE(ledger.reserve("gpu only", {{.device = "gpu0", .weights = 50_B}}));
  ASSERT_TRUE(ledger.reserve("both", {{.device = "host", .weights = 50_B}, {.device = "gpu0", .weights = 50_B}}));
  std::vector<AliveEngine> alive = {engine("host only", 1s), engine("gpu only", 3s), engine("both", 2s)};
  std::vector<Reservation> needs = {{.device = "host", .weights = 50_B}, {.device = "gpu0", .weights = 50_B}};
  // The cheapest for the host is "host only", for the GPU "both", which then serves the host as well.
  EXPECT_THAT(plan_load(ledger, "x", needs, alive, 0).unload, ElementsAre("both"));
}

// Over random boxes: whoever is sent away, the plan is enough, never touches the pinned, and refuses only the hopeless.
TEST(LoadPlan, EveryPlanSufficesOnRandomBoxes) {
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    Box box;
    size_t engines = random() % (round % 20 == 0 ? 16 : 6);
    for (size_t i = 0; i < engines; ++i) {
      Bytes bytes(random() % std::max<int64_t>(1, box.ledger.free().count / 2));
      box.add({.model = "m" + std::to_string(i),
               .busy = random() % 3 == 0,
               .pinned = random() % 6 == 0,
               .leaving = random() % 6 == 0,
               .reload_cost = std::chrono::seconds(random() % 10),
               .chance_of_use = 0.5},
              bytes);
    }
    Bytes wanted(random() % 1200);
    LoadPlan plan = plan_load(box.ledger, "x", need(wanted), box.alive, 0);
    Bytes pinned, coming;
    for (const AliveEngine& engine : box.alive) {
      bool goes = std::ranges::find(plan.unload, engine.model) != plan.unload.end() ||
                  std::ranges::find(plan.drain, engine.model) != plan.drain.end();
      Bytes bytes = box.ledger.reserved_by(engine.owner);
      if (engine.pinned && !engine.leaving) {
        pinned += bytes;
        ASSERT_FALSE(goes) << "pinned";
      }
      if (goes || engine.leaving) coming += bytes;
      bool drains = std::ranges::find(plan.drain, engine.model) != plan.drain.end();
      ASSERT_EQ(drains, goes && engine.busy);
    }
    ASSERT_EQ(plan.never.has_value(), wanted > 1000_B - pinned);
    ASSERT_TRUE(plan.never || wanted <= box.ledger.free() + coming);
    ASSERT_TRUE(!plan.start || wanted <= box.ledger.free());
  }
}

}  // namespace
}  // namespace skep::model
