#include "model/residency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/simulated_event_loop.h"
#include "model/fake_engine.h"

namespace skep::model {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ResidencyTest : public ::testing::Test {
 protected:
  ResidencyTest() { restart(1000_MiB); }

  void restart(Bytes budget, ResidencyOptions options = {}) {
    options.budgets = {{"host", budget}};
    options.daemon_reserve = Bytes(0);
    residency_.reset();
    residency_ = std::make_unique<Residency>(loop_, options);
    residency_->on_event([this](const ResidencyEvent& event) {
      events_.push_back(fmt::format("{} {}", to_string(event.kind), event.model));
      reasons_.push_back(event.reason);
    });
  }
  void model(const std::string& name, Bytes weights, FakeFactory::Script script = {}, EngineSpec spec = {}) {
    script.memory = {{.device = "host", .weights = weights}};
    factory_.scripts[name] = script;
    spec.factory = &factory_;
    spec.options.path = name;
    residency_->define(name, spec);
  }
  // Acquires and runs until it is answered.
  Result<Lease> get(const std::string& name) {
    std::optional<Result<Lease>> answer;
    residency_->acquire(name, [&](Result<Lease> lease) { answer = std::move(lease); });
    loop_.run_ready();
    for (int i = 0; i < 1000 && !answer; ++i) loop_.advance_to_next_timer();
    if (!answer) return fail(ErrorCode::internal, "no answer");
    return std::move(*answer);
  }
  void use(const std::string& name) {
    auto lease = get(name);
    ASSERT_TRUE(lease) << lease.error().text();
    ASSERT_TRUE(*lease);
  }

  SimulatedEventLoop loop_;
  FakeFactory factory_{loop_}, remote_{loop_};
  std::unique_ptr<Residency> residency_;
  std::vector<std::string> events_, reasons_;
};

TEST_F(ResidencyTest, LoadsWhenAskedAndLeasesAtOnceAfterwards) {
  model("a", 100_MiB);
  EXPECT_FALSE(residency_->try_acquire("a"));
  auto first = get("a");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->engine(), factory_.alive("a"));
  EXPECT_EQ(residency_->ledger().reserved(), 100_MiB);
  Lease second = residency_->try_acquire("a");
  EXPECT_TRUE(second);
  EXPECT_EQ(residency_->views().front().leases, 2);
  EXPECT_EQ(factory_.started.size(), 1U);
  EXPECT_THAT(events_, ElementsAre("loading a", "loaded a"));
  EXPECT_EQ(residency_->counters().load_seconds, 1.0);
}

TEST_F(ResidencyTest, ManyWaitersShareOneLoad) {
  model("a", 100_MiB);
  std::vector<Lease> leases;
  for (int i = 0; i < 20; ++i) {
    residency_->acquire("a", [&](Result<Lease> lease) { leases.push_back(std::move(lease.value())); });
    EXPECT_TRUE(leases.empty()) << "an answer came from inside the call";
  }
  EXPECT_EQ(residency_->state("a"), ResidentState::loading) << "asked for counts as loading";
  loop_.advance(2s);
  EXPECT_EQ(leases.size(), 20U);
  EXPECT_EQ(factory_.started.size(), 1U);
}

TEST_F(ResidencyTest, MakesRoomOnlyWhenTheProcessIsGone) {
  model("a", 600_MiB, {.stop = 5s});
  model("b", 600_MiB);
  use("a");
  std::optional<Lease> lease;
  residency_->acquire("b", [&](Result<Lease> got) { lease = std::move(*got); });
  loop_.advance(4s);
  EXPECT_EQ(residency_->state("a"), ResidentState::unloading);
  EXPECT_THAT(factory_.started, ElementsAre("a"));
  loop_.advance(3s);
  EXPECT_TRUE(lease);
  EXPECT_EQ(factory_.most_occupied, 600_MiB);
  EXPECT_THAT(events_, Contains("evicted a"));
  EXPECT_THAT(reasons_, Contains("to make room for b"));
  EXPECT_EQ(residency_->counters().evictions, 1);
}

TEST_F(ResidencyTest, WaitsForAGeneratingEngineAndGivesItNoNewLeases) {
  model("a", 600_MiB);
  model("b", 600_MiB);
  auto lease = get("a");
  ASSERT_TRUE(lease);
  EXPECT_FALSE(residency_->fits("b") && residency_->known_size("b"));
  bool got = false;
  residency_->acquire("b", [&](Result<Lease> b) { got = b.has_value(); });
  loop_.advance(1min);
  EXPECT_FALSE(got);
  EXPECT_TRUE(*lease) << "an engine that generates was taken away";
  EXPECT_EQ(residency_->state("a"), ResidentState::draining);
  EXPECT_FALSE(residency_->try_acquire("a")) << "or it would never end";
  EXPECT_FALSE(residency_->fits("b"));
  lease->release();
  loop_.advance(2s);
  EXPECT_TRUE(got);
}

TEST_F(ResidencyTest, ADrainingEngineStaysWhenNobodyWantsItsRoomAnyMore) {
  model("a", 600_MiB);
  model("b", 600_MiB);
  auto lease = get("a");
  auto waiter = residency_->acquire("b", [](Result<Lease>) { FAIL() << "cancelled"; });
  loop_.advance(1s);
  EXPECT_EQ(residency_->state("a"), ResidentState::draining);
  bool again = false;
  residency_->acquire("a", [&](Result<Lease> a) { again = a.has_value(); });
  residency_->cancel(waiter);
  loop_.advance(1s);
  EXPECT_EQ(residency_->state("a"), ResidentState::ready);
  EXPECT_TRUE(again);
  EXPECT_EQ(factory_.started.size(), 1U);
}

TEST_F(ResidencyTest, NobodyOvertakesTheFirstInLineButWhatIsReadyIsServed) {
  model("a", 600_MiB);
  model("b", 900_MiB);
  model("small", 10_MiB);
  auto lease = get("a");
  std::vector<std::string> order;
  for (const char* name : {"b", "small"})
    residency_->acquire(name, [&order, name](Result<Lease>) { order.emplace_back(name); });
  loop_.advance(1min);
  EXPECT_THAT(order, IsEmpty());
  lease->release();
  loop_.advance(5s);
  EXPECT_THAT(order, ElementsAre("b", "small"));
}

TEST_F(ResidencyTest, RemoteEnginesNeitherWaitInLineNorTakeBytes) {
  remote_.is_remote = true;
  remote_.scripts["cloud"] = {};
  model("a", 600_MiB);
  model("b", 900_MiB);
  residency_->define("cloud", {.factory = &remote_, .options = {.path = "cloud"}});
  auto lease = get("a");
  residency_->acquire("b", [](Result<Lease>) {});
  bool got = false;
  residency_->acquire("cloud", [&](Result<Lease> cloud) { got = cloud.has_value(); });
  loop_.advance(5s);
  EXPECT_TRUE(got);
  EXPECT_EQ(residency_->ledger().reserved(), 600_MiB);
}

TEST_F(ResidencyTest, RefusesWhatCanNeverFitWithoutDisturbingAnyone) {
  model("a", 600_MiB);
  model("huge", 2_GiB);
  use("a");
  auto lease = get("huge");
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().code, ErrorCode::out_of_memory);
  EXPECT_THAT(lease.error().message, HasSubstr("2.00 GiB"));
  EXPECT_EQ(residency_->state("a"), ResidentState::ready);
  EXPECT_EQ(residency_->known_size("huge"), 2_GiB);
}

TEST_F(ResidencyTest, FailsWithWhatTheEngineReported) {
  model("a", 100_MiB, {.load_fails = Error{ErrorCode::corrupt, "a.gguf: truncated", {}}});
  model("m", 100_MiB, {.measure_fails = Error{ErrorCode::corrupt, "not a GGUF file", {}}});
  EXPECT_EQ(get("a").error().message, "a.gguf: truncated");
  EXPECT_EQ(get("m").error().message, "not a GGUF file");
  EXPECT_EQ(get("nobody").error().code, ErrorCode::not_found);
  EXPECT_EQ(residency_->ledger().reserved(), 0_B);
  EXPECT_EQ(factory_.occupied, 0_B);
}

TEST_F(ResidencyTest, CorrectsTheLedgerByWhatLoadingReallyTook) {
  model("a", 100_MiB, {.truth = {{.device = "host", .weights = 100_MiB, .kv = 50_MiB}}});
  use("a");
  EXPECT_EQ(residency_->ledger().reserved(), 150_MiB);
  EXPECT_EQ(residency_->known_size("a"), 150_MiB);
}

TEST_F(ResidencyTest, PushesOthersOutWhenLoadingTookMoreThanThereIs) {
  model("a", 500_MiB);
  model("b", 400_MiB, {.truth = {{.device = "host", .weights = 700_MiB}}});
  use("a");
  auto b = get("b");
  ASSERT_TRUE(b && *b);
  loop_.advance(1s);
  EXPECT_FALSE(residency_->state("a"));
  EXPECT_EQ(residency_->ledger().over(), 0_B);
}

TEST_F(ResidencyTest, MeasuredGrowthCountsAgainstTheBudget) {
  model("a", 500_MiB);
  model("b", 400_MiB);
  use("a");
  auto b = get("b");
  factory_.alive("b")->resident = 600_MiB;
  loop_.advance(2s);
  EXPECT_EQ(residency_->ledger().reserved_by("engine b"), 600_MiB);
  EXPECT_FALSE(residency_->state("a")) << "idle, and the budget is overdrawn";
  EXPECT_TRUE(*b);
}

TEST_F(ResidencyTest, TheDaemonsOwnBytesAreInTheBook) {
  ResidencyOptions options{.budgets = {{"host", 1000_MiB}}, .daemon_reserve = 50_MiB};
  residency_ = std::make_unique<Residency>(loop_, options);
  EXPECT_EQ(residency_->ledger().reserved_by("daemon"), 50_MiB);
  residency_->record_daemon_memory(70_MiB);
  EXPECT_EQ(residency_->ledger().reserved(), 70_MiB);
  model("a", 950_MiB);
  EXPECT_EQ(get("a").error().code, ErrorCode::out_of_memory);
}

TEST_F(ResidencyTest, KeepAliveCountsFromTheLastUse) {
  model("a", 100_MiB, {}, {.keep_alive = 60s});
  use("a");
  loop_.advance(50s);
  use("a");
  loop_.advance(59s);
  EXPECT_EQ(residency_->state("a"), ResidentState::ready);
  loop_.advance(2s);
  EXPECT_FALSE(residency_->state("a"));
  EXPECT_THAT(events_, ElementsAre("loading a", "loaded a", "unloaded a"));
  EXPECT_THAT(reasons_.back(), HasSubstr("idle for 60 s"));
  EXPECT_EQ(residency_->counters().expiries, 1);
}

TEST_F(ResidencyTest, KeepAliveOfZeroUnloadsAfterTheLastLeaseAndForeverNever) {
  model("a", 100_MiB);
  auto lease = get("a");
  residency_->set_keep_alive("a", 0s);
  loop_.advance(1h);
  EXPECT_TRUE(*lease) << "in use";
  lease->release();
  loop_.advance(1s);
  EXPECT_FALSE(residency_->state("a"));
  residency_->set_keep_alive("a", kForever);
  use("a");
  EXPECT_FALSE(residency_->views().front().expires);
  loop_.advance(48h);
  EXPECT_EQ(residency_->state("a"), ResidentState::ready);
}

TEST_F(ResidencyTest, DoesNotExpireWhatTasksWaitFor) {
  model("a", 100_MiB, {}, {.keep_alive = 1s});
  use("a");
  residency_->set_demand({{"a", 3}});
  loop_.advance(1min);
  EXPECT_EQ(residency_->state("a"), ResidentState::ready);
  residency_->set_demand({});
  loop_.advance(2s);
  EXPECT_FALSE(residency_->state("a"));
}

TEST_F(ResidencyTest, PinnedModelsAreNeverEvictedAndDontExpire) {
  model("pinned", 600_MiB, {}, {.keep_alive = 1s, .pinned = true});
  model("b", 600_MiB);
  use("pinned");
  loop_.advance(1h);
  EXPECT_EQ(get("b").error().code, ErrorCode::out_of_memory);
  EXPECT_EQ(residency_->state("pinned"), ResidentState::ready);
  residency_->set_pinned("pinned", false);
  EXPECT_TRUE(get("b"));
}

TEST_F(ResidencyTest, WhatPinnedModelsTakeIsKnownToThoseThatStreamBesideThem) {
  model("pinned", 300_MiB, {}, {.pinned = true});
  model("other", 100_MiB);
  EXPECT_EQ(residency_->pinned_bytes("large"), Bytes(0));  // nobody has measured it
  use("pinned");
  use("other");
  EXPECT_EQ(residency_->pinned_bytes("large"), 300_MiB);
  EXPECT_EQ(residency_->pinned_bytes("pinned"), Bytes(0));  // it does not make way for itself
}

TEST_F(ResidencyTest, AStreamedModelSaysSoWhenItIsLoaded) {
  model("large", 300_MiB, {.streamed = {900_MiB, 300_MiB, 1e9, 1.1}});
  use("large");
  EXPECT_THAT(reasons_, Contains(HasSubstr("300 MiB of 900 MiB of weights at once, disk 1 GB/s: about 1.1 tokens/s")));
  EXPECT_EQ(residency_->views().front().streamed.all, 900_MiB);
}

TEST_F(ResidencyTest, WhatIsBookedBesideTheEnginesMakesIdleOnesLeave) {
  model("a", 600_MiB);
  use("a");
  EXPECT_EQ(residency_->book("job 1", 500_MiB), false);
  loop_.advance(2s);
  EXPECT_EQ(residency_->state("a"), std::nullopt);
  EXPECT_EQ(residency_->book("job 1", 500_MiB), true);
  EXPECT_EQ(residency_->ledger().reserved(), 500_MiB);
  residency_->unbook("job 1");
  EXPECT_EQ(residency_->ledger().reserved(), Bytes(0));
  EXPECT_EQ(residency_->book("job 2", 1001_MiB).error().code, ErrorCode::out_of_memory);
}

TEST_F(ResidencyTest, NobodyLeavesForAJobThatWouldNotFitAnyway) {
  model("idle", 200_MiB);
  model("busy", 600_MiB);
  use("idle");
  auto lease = get("busy");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(residency_->book("job 1", 700_MiB), false);
    loop_.advance(1s);
  }
  EXPECT_EQ(residency_->state("idle"), ResidentState::ready);
  EXPECT_EQ(residency_->state("busy"), ResidentState::ready);
  lease->release();
  EXPECT_EQ(residency_->book("job 1", 700_MiB), false);
  loop_.advance(2s);
  EXPECT_EQ(residency_->book("job 1", 700_MiB), true);
}

TEST_F(ResidencyTest, SparesWhatTasksWaitFor) {
  model("a", 400_MiB);
  model("b", 400_MiB);
  model("c", 400_MiB);
  for (int round = 0; round < 2; ++round) {
    use("a");
    use("b");
    const char* wanted = round == 0 ? "a" : "b";
    residency_->set_demand({{wanted, 2}});
    use("c");
    EXPECT_EQ(residency_->state(wanted), ResidentState::ready);
    residency_->set_demand({});
  }
}

TEST_F(ResidencyTest, UnloadAnswersWhenTheProcessIsGone) {
  model("a", 100_MiB, {.stop = 2s});
  auto lease = get("a");
  bool done = false;
  residency_->unload("a", [&](Status status) { done = status.has_value(); });
  loop_.advance(10s);
  EXPECT_FALSE(done) << "it still generates";
  lease->release();
  loop_.advance(1s);
  EXPECT_FALSE(done) << "its process is still there";
  loop_.advance(2s);
  EXPECT_TRUE(done);
  EXPECT_EQ(factory_.occupied, 0_B);
  done = false;
  residency_->unload("a", [&](Status) { done = true; });
  loop_.run_ready();
  EXPECT_TRUE(done) << "nothing to unload";
}

TEST_F(ResidencyTest, UnloadWhileLoadingServesThoseWhoWaitFirst) {
  model("a", 100_MiB);
  std::optional<Lease> lease;
  residency_->acquire("a", [&](Result<Lease> got) { lease = std::move(*got); });
  loop_.advance(500ms);
  residency_->unload("a", nullptr);
  loop_.advance(1s);
  ASSERT_TRUE(lease && *lease);
  EXPECT_EQ(residency_->state("a"), ResidentState::draining);
  lease->release();
  loop_.advance(1s);
  EXPECT_FALSE(residency_->state("a"));
}

TEST_F(ResidencyTest, ADeathFreesItsBytesAndTheFirstIsRetriedAtOnce) {
  model("a", 100_MiB);
  auto lease = get("a");
  factory_.alive("a")->die();
  EXPECT_FALSE(*lease);
  EXPECT_EQ(lease->engine(), nullptr);
  EXPECT_EQ(residency_->ledger().reserved(), 0_B);
  auto again = get("a");
  EXPECT_TRUE(again && *again);
  lease->release();
  EXPECT_EQ(residency_->views().front().leases, 1) << "the old lease was of another engine";
  EXPECT_THAT(events_, ElementsAre("loading a", "loaded a", "died a", "loading a", "loaded a"));
}

TEST_F(ResidencyTest, RepeatedCrashesBackOffAndStabilityForgetsThem) {
  model("a", 100_MiB);
  for (int crash = 0; crash < 2; ++crash) {
    use("a");
    factory_.alive("a")->die();
  }
  auto refused = get("a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("failed 2 times in a row, the next try is in 1.0 s"));
  EXPECT_TRUE(residency_->blocked_until("a"));
  loop_.advance(1s);
  use("a");
  factory_.alive("a")->die();
  loop_.advance(1500ms);
  EXPECT_FALSE(get("a")) << "the pause doubles";
  loop_.advance(600ms);
  auto lease = get("a");
  ASSERT_TRUE(lease);
  loop_.advance(2min);
  factory_.alive("a")->die();
  EXPECT_TRUE(get("a")) << "it had been stable";
}

TEST_F(ResidencyTest, ADeathDoesNotTouchOthers) {
  model("a", 100_MiB);
  model("b", 100_MiB);
  auto a = get("a");
  auto b = get("b");
  factory_.alive("a")->die();
  loop_.run_ready();
  EXPECT_FALSE(*a);
  EXPECT_TRUE(*b);
}

TEST_F(ResidencyTest, CancelledWaitersHearNothingAndLeaveNoLease) {
  model("a", 100_MiB);
  use("a");
  auto waiter = residency_->acquire("a", [](Result<Lease>) { FAIL(); });
  EXPECT_EQ(residency_->views().front().leases, 1) << "granted, on its way";
  residency_->cancel(waiter);
  EXPECT_EQ(residency_->views().front().leases, 0);
  loop_.run_ready();
}

TEST_F(ResidencyTest, AQueueOfWaitersIsBounded) {
  restart(1000_MiB, {.max_waiting = 3});
  model("a", 100_MiB);
  int overloaded = 0;
  for (int i = 0; i < 5; ++i) {
    residency_->acquire("a", [&](Result<Lease> lease) {
      if (!lease && lease.error().code == ErrorCode::overloaded) ++overloaded;
    });
  }
  loop_.advance(2s);
  EXPECT_EQ(overloaded, 2);
}

TEST_F(ResidencyTest, OtherOptionsReloadTheEngineOnceItIsIdle) {
  model("a", 100_MiB);
  auto lease = get("a");
  EngineSpec spec{.factory = &factory_, .options = {.path = "a", .context_tokens = 8192}};
  residency_->define("a", spec);
  loop_.advance(1s);
  EXPECT_TRUE(*lease);
  EXPECT_FALSE(residency_->try_acquire("a"));
  lease->release();
  auto again = get("a");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->engine()->loaded().context_tokens, 8192);
}

TEST_F(ResidencyTest, AModelThatIsGoneEndsOnceIdle) {
  model("a", 100_MiB);
  auto lease = get("a");
  residency_->undefine("a");
  EXPECT_FALSE(residency_->defined("a"));
  EXPECT_TRUE(*lease);
  EXPECT_EQ(get("a").error().code, ErrorCode::not_found);
  lease->release();
  loop_.advance(1s);
  EXPECT_EQ(factory_.occupied, 0_B);
  EXPECT_THAT(residency_->views(), IsEmpty());
}

TEST_F(ResidencyTest, TheCapOnLoadedModelsEvictsThoughBytesWouldFit) {
  restart(1000_MiB, {.max_loaded = 1});
  model("a", 10_MiB);
  model("b", 10_MiB);
  use("a");
  use("b");
  EXPECT_FALSE(residency_->state("a"));
}

TEST_F(ResidencyTest, ShutDownEndsEveryEngineAndThoseThatStillLoad) {
  model("a", 100_MiB);
  model("b", 100_MiB);
  auto lease = get("a");
  Status last;
  residency_->ensure("b", [&](Status status) { last = status; });
  loop_.advance(100ms);
  bool done = false;
  residency_->shut_down([&] { done = true; });
  loop_.run_ready();
  EXPECT_EQ(last.error().code, ErrorCode::unavailable);
  EXPECT_FALSE(done);
  loop_.advance(3s);
  EXPECT_TRUE(done);
  EXPECT_EQ(factory_.occupied, 0_B);
  EXPECT_FALSE(*lease);
  EXPECT_EQ(get("a").error().code, ErrorCode::unavailable);
}

TEST_F(ResidencyTest, DestroyingItLeavesLeasesAndCallbacksHarmless) {
  model("a", 100_MiB);
  model("b", 100_MiB);
  auto lease = get("a");
  residency_->acquire("b", [](Result<Lease>) { FAIL(); });
  loop_.advance(100ms);
  residency_.reset();
  EXPECT_FALSE(*lease);
  loop_.advance(5s);
  EXPECT_EQ(factory_.occupied, 0_B);
}

// Random work on more models than fit: bytes of processes never exceed the budget, nobody that generates is disturbed,
// and every request is answered.
TEST_F(ResidencyTest, RandomWorkStaysInsideTheBudgetAndEndsEveryRequest) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    restart(1000_MiB, {.max_loaded = seed % 3 == 0 ? 2 : 0, .keep_alive = 20s});
    factory_.most_occupied = factory_.occupied = Bytes(0);
    for (int i = 0; i < 6; ++i)
      model("m" + std::to_string(i), Bytes((100 + 70 * i) * (int64_t{1} << 20)),
            {.stop = Duration(random() % 2'000'000'000)});
    int asked = 0, answered = 0, cancelled = 0;
    for (int step = 0; step < 400; ++step) {
      std::string name = "m" + std::to_string(random() % 6);
      switch (random() % 12) {
        case 0:
          residency_->unload(name, nullptr);
          break;
        case 1:
          if (FakeEngine* engine = factory_.alive(name);
              engine != nullptr && residency_->state(name) == ResidentState::ready && random() % 4 == 0)
            engine->die();
          break;
        case 2: {
          auto waiter = residency_->acquire(name, [](Result<Lease>) { FAIL() << "cancelled"; });
          residency_->cancel(waiter);
          ++cancelled;
          break;
        }
        default:
          ++asked;
          residency_->acquire(name, [&, work = Duration(random() % 3'000'000'000)](Result<Lease> lease) {
            ++answered;
            if (!lease) return;
            auto held = std::make_shared<Lease>(std::move(*lease));
            loop_.after(work, [held] { held->release(); });
          });
      }
      loop_.advance(Duration(random() % 1'000'000'000));
    }
    loop_.advance(10min);
    ASSERT_EQ(answered, asked) << "seed " << seed;
    ASSERT_LE(factory_.most_occupied, 1000_MiB) << "seed " << seed;
    ASSERT_EQ(factory_.occupied, 0_B) << "all idle models expire";
    ASSERT_EQ(residency_->ledger().reserved(), 0_B);
  }
}

}  // namespace
}  // namespace skep::model
