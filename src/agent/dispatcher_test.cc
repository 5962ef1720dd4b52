#include "agent/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/task_fixture.h"
#include "base/simulated_event_loop.h"
#include "model/fake_engine.h"

namespace skep::agent {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FixedPlanner final : public Planner {
 public:
  Result<Plan> plan(const TaskRequest& request) override {
    if (request.model == "nobody") return fail(ErrorCode::not_found, "no model is called 'nobody'");
    Plan plan;
    plan.route.model = request.model;
    plan.route.tier = "fast";
    plan.generate.messages = {{"user", request.input.prompt}};
    plan.generate.max_tokens = 8;
    plan.generate.grammar = grammar;
    plan.prompt_tokens = 10;
    plan.reader = [] { return std::make_unique<TextReader>(); };
    return plan;
  }
  std::string grammar;
};

struct Heard final : TaskListener {
  void started(const TaskStarted&) override { ++starts; }
  void delta(const language::Delta& delta) override { text += delta.content; }
  void finished(const TaskResult& result) override {
    ++ends;
    done = result;
  }
  void failed(const TaskFailure& f) override {
    ++ends;
    failure = f;
  }
  int starts = 0, ends = 0;
  std::string text;
  std::optional<TaskResult> done;
  std::optional<TaskFailure> failure;
};

class DispatcherTest : public ::testing::Test {
 protected:
  DispatcherTest() {
    for (const char* name : {"a", "b"}) {
      factory.scripts[name].memory = {{"host", 100_MiB, 10_MiB, 10_MiB}};
      engine::LoadOptions options;
      options.path = name;
      options.sequences = 2;
      residency.define(name, {&factory, options, {}, false});
    }
    residency.on_event([this](const model::ResidencyEvent&) { dispatcher->wake(); });
    make({});
  }
  void make(DispatcherOptions options) {
    dispatcher.reset();
    dispatcher = std::make_unique<Dispatcher>(loop, residency, planner, std::move(options));
  }
  static model::ResidencyOptions residency_options() {
    model::ResidencyOptions options;
    options.budgets = {{"host", 1_GiB}};
    options.daemon_reserve = Bytes(0);
    return options;
  }
  std::pair<TaskId, std::shared_ptr<Heard>> submit(const std::string& model, TaskRequest request = {}) {
    auto heard = std::make_shared<Heard>();
    request.model = model;
    TaskId id = dispatcher->submit(std::move(request), heard);
    return {id, heard};
  }
  model::FakeEngine& engine(const std::string& model) {
    auto* alive = factory.alive(model);
    EXPECT_NE(alive, nullptr);
    return *alive;
  }

  SimulatedEventLoop loop;
  model::FakeFactory factory{loop};
  model::Residency residency{loop, residency_options()};
  FixedPlanner planner;
  std::unique_ptr<Dispatcher> dispatcher;
};

TEST_F(DispatcherTest, ATaskLoadsItsModelStreamsAndEndsOnce) {
  auto [id, heard] = submit("a");
  loop.advance(2s);
  ASSERT_EQ(engine("a").running.size(), 1U);
  auto request = engine("a").running.begin()->first;
  engine("a").say(request, "hel");
  engine("a").say(request, "lo");
  engine::Finished finished;
  finished.usage = {10, 4, 2};
  engine("a").finish(request, finished);
  loop.run_ready();
  EXPECT_EQ(heard->text, "hello");
  ASSERT_TRUE(heard->done.has_value());
  EXPECT_EQ(heard->done->id, id);
  EXPECT_EQ(heard->done->message.content, "hello");
  EXPECT_EQ(heard->done->finish_reason, "stop");
  EXPECT_EQ(heard->done->usage.cached_tokens, 4);
  EXPECT_EQ(heard->done->load, 1s);
  EXPECT_EQ(heard->ends, 1);
  EXPECT_EQ(dispatcher->statistics().models().at("a").finished, 1);
  EXPECT_THAT(dispatcher->tasks(), IsEmpty());
}

TEST_F(DispatcherTest, NoMoreRunAtOnceThanTheEngineHasSlots) {
  std::vector<std::shared_ptr<Heard>> all;
  for (int i = 0; i < 5; ++i) all.push_back(submit("a").second);
  loop.advance(2s);
  EXPECT_EQ(engine("a").running.size(), 2U);
  engine("a").finish(engine("a").running.begin()->first);
  loop.run_ready();
  EXPECT_EQ(engine("a").running.size(), 2U);
  EXPECT_EQ(dispatcher->scheduler().waiting(), 2);
}

TEST_F(DispatcherTest, APlanThatFailsIsTheTasksErrorAndComesLater) {
  auto [id, heard] = submit("nobody");
  EXPECT_EQ(heard->ends, 0);  // not from inside submit()
  loop.run_ready();
  ASSERT_TRUE(heard->failure.has_value());
  EXPECT_EQ(heard->failure->id, id);
  EXPECT_EQ(heard->failure->error.code, ErrorCode::not_found);
}

TEST_F(DispatcherTest, ACancelledTaskIsCancelledOnTheEngineAndSaysNothing) {
  auto [id, heard] = submit("a");
  loop.advance(2s);
  dispatcher->cancel(id);
  dispatcher->cancel(id);
  EXPECT_THAT(engine("a").running, IsEmpty());
  loop.advance(1s);
  EXPECT_EQ(heard->ends, 0);
  EXPECT_EQ(dispatcher->scheduler().running(), 0);
}

TEST_F(DispatcherTest, AnEngineThatDiesIsReplacedAndTheAnswerGoesOnWithoutARepeat) {
  auto [id, heard] = submit("a");
  loop.advance(2s);
  engine("a").say(engine("a").running.begin()->first, "one ");
  engine("a").die();
  loop.advance(5s);
  ASSERT_EQ(engine("a").running.size(), 1U);
  const auto& [request, running] = *engine("a").running.begin();
  EXPECT_EQ(running.request.assistant_prefix, "one ");
  EXPECT_EQ(running.request.max_tokens, 7);
  auto key = request;
  engine("a").say(key, "two");
  engine::Finished finished;
  finished.usage = {10, 0, 1};
  engine("a").finish(key, finished);
  loop.run_ready();
  EXPECT_EQ(heard->text, "one two");
  ASSERT_TRUE(heard->done.has_value());
  EXPECT_EQ(heard->done->attempts, 2);
  EXPECT_EQ(heard->done->usage.completion_tokens, 2);
}

TEST_F(DispatcherTest, ATaskWhoseEngineDiesTwiceFailsWithTheReason) {
  auto [id, heard] = submit("a");
  loop.advance(2s);
  engine("a").die();
  loop.advance(5s);
  engine("a").die();
  loop.advance(5s);
  ASSERT_TRUE(heard->failure.has_value());
  EXPECT_EQ(heard->failure->error.code, ErrorCode::unavailable);
  EXPECT_THAT(heard->failure->error.message, HasSubstr("SIGKILL"));
  EXPECT_EQ(heard->ends, 1);
}

TEST_F(DispatcherTest, ADeathTakesNothingOfAnotherModelWithIt) {
  auto [first, one] = submit("a");
  auto [second, two] = submit("b");
  loop.advance(3s);
  engine("a").die();
  engine("b").finish(engine("b").running.begin()->first);
  loop.run_ready();
  EXPECT_TRUE(two->done.has_value());
}

TEST_F(DispatcherTest, AGrammarAnswerThatWasHalfSentIsNotContinued) {
  planner.grammar = "root ::= \"x\"";
  auto [id, heard] = submit("a");
  loop.advance(2s);
  engine("a").say(engine("a").running.begin()->first, "{");
  engine("a").die();
  loop.run_ready();
  ASSERT_TRUE(heard->failure.has_value());
  EXPECT_EQ(heard->failure->error.code, ErrorCode::unavailable);
}

TEST_F(DispatcherTest, AnAnswerWhoseTokensAreKnownIsContinuedExactlyEvenUnderAGrammar) {
  planner.grammar = "root ::= \"x\"";
  auto [id, heard] = submit("a");
  loop.advance(2s);
  engine("a").say(engine("a").running.begin()->first, "{", 17);
  engine("a").say(engine("a").running.begin()->first, "}", 4);
  engine("a").die();
  loop.advance(5s);
  ASSERT_EQ(engine("a").running.size(), 1U);
  const engine::Generate& again = engine("a").running.begin()->second.request;
  EXPECT_THAT(again.answered, ElementsAre(17, 4));
  EXPECT_EQ(again.assistant_prefix, "");
  EXPECT_EQ(again.max_tokens, 6);
  EXPECT_EQ(heard->text, "{}");
}

TaskRequest of(scheduling::Priority priority) {
  TaskRequest request;
  request.priority = priority;
  return request;
}

DispatcherOptions with_preemption() {
  DispatcherOptions options;
  options.scheduling.preemption = true;
  return options;
}

TEST_F(DispatcherTest, ACriticalTaskStartsBesideItsVictimWhoseGenerationStaysInTheWorker) {
  make(with_preemption());
  auto [first, one] = submit("a", of(scheduling::Priority::background));
  auto [second, two] = submit("a", of(scheduling::Priority::background));
  loop.advance(2s);
  ASSERT_EQ(engine("a").running.size(), 2U);
  auto [third, critical] = submit("a", of(scheduling::Priority::critical));
  loop.run_ready();
  EXPECT_EQ(engine("a").running.size(), 3U) << "the worker parks by priority itself";
  EXPECT_EQ(engine("a").running.rbegin()->second.request.priority, 0);
  EXPECT_EQ(dispatcher->preemptions().parked, 1);
  EXPECT_EQ(dispatcher->scheduler().running(), 2);
  EXPECT_EQ(dispatcher->scheduler().waiting(), 1);
  engine("a").finish(engine("a").running.rbegin()->first);
  loop.run_ready();
  EXPECT_EQ(dispatcher->scheduler().running(), 2);
  EXPECT_EQ(engine("a").running.size(), 2U) << "nothing was sent again";
  EXPECT_EQ(one->starts + two->starts, 2);
  while (!engine("a").running.empty()) engine("a").finish(engine("a").running.begin()->first);
  loop.run_ready();
  EXPECT_TRUE(one->done && two->done && critical->done);
  EXPECT_EQ(one->done->attempts + two->done->attempts, 2);
}

TEST_F(DispatcherTest, AParkedTaskMayEndBeforeItIsStartedAgain) {
  make(with_preemption());
  auto [first, one] = submit("a", of(scheduling::Priority::background));
  auto [second, two] = submit("a", of(scheduling::Priority::background));
  loop.advance(2s);
  auto [third, critical] = submit("a", of(scheduling::Priority::critical));
  loop.run_ready();
  while (!engine("a").running.empty()) engine("a").finish(engine("a").running.begin()->first);
  loop.run_ready();
  EXPECT_TRUE(one->done && two->done && critical->done);
  EXPECT_EQ(dispatcher->scheduler().running() + dispatcher->scheduler().waiting(), 0);
}

TEST_F(DispatcherTest, AParkedTaskWhoseWorkerDiesGoesOnInAnother) {
  make(with_preemption());
  auto [first, one] = submit("a", of(scheduling::Priority::background));
  auto [second, two] = submit("a", of(scheduling::Priority::background));
  loop.advance(2s);
  auto [third, critical] = submit("a", of(scheduling::Priority::critical));
  loop.run_ready();
  engine("a").die();
  loop.advance(5s);
  ASSERT_EQ(engine("a").running.size(), 2U);
  for (int i = 0; i < 3; ++i) {
    engine("a").finish(engine("a").running.begin()->first);
    loop.run_ready();
  }
  EXPECT_TRUE(one->done && two->done && critical->done);
}

TEST_F(DispatcherTest, ACancelledParkedTaskIsCancelledInTheWorkerToo) {
  make(with_preemption());
  auto [first, one] = submit("a", of(scheduling::Priority::background));
  auto [second, two] = submit("a", of(scheduling::Priority::background));
  loop.advance(2s);
  auto [third, critical] = submit("a", of(scheduling::Priority::critical));
  loop.run_ready();
  dispatcher->cancel(first);
  dispatcher->cancel(second);
  EXPECT_EQ(engine("a").running.size(), 1U);
  EXPECT_EQ(dispatcher->scheduler().waiting(), 0);
}

TEST_F(DispatcherTest, ACriticalTaskOfAnotherModelStopsWhatRunsAndThatGoesOnLater) {
  factory.scripts["a"].memory = factory.scripts["b"].memory = {{"host", 600_MiB, 0_B, 0_B}};  // one of the two fits
  make(with_preemption());
  auto [first, one] = submit("a", of(scheduling::Priority::normal));
  loop.advance(2s);
  engine("a").say(engine("a").running.begin()->first, "one ", 1);
  auto [second, critical] = submit("b", of(scheduling::Priority::critical));
  loop.advance(3s);
  EXPECT_EQ(factory.alive("a"), nullptr);
  ASSERT_NE(factory.alive("b"), nullptr);
  ASSERT_EQ(engine("b").running.size(), 1U);
  EXPECT_EQ(dispatcher->preemptions().stopped, 1);
  EXPECT_EQ(one->ends, 0);
  engine("b").finish(engine("b").running.begin()->first);
  loop.advance(1min);
  ASSERT_NE(factory.alive("a"), nullptr);
  ASSERT_EQ(engine("a").running.size(), 1U);
  EXPECT_THAT(engine("a").running.begin()->second.request.answered, ElementsAre(1));
  engine("a").finish(engine("a").running.begin()->first);
  loop.run_ready();
  ASSERT_TRUE(one->done.has_value());
  EXPECT_EQ(one->done->attempts, 1) << "to make way is no failure";
}

// Slots 1: a background task of a, parked in its worker behind a critical one.
class ParkedVictimTest : public DispatcherTest {
 protected:
  ParkedVictimTest() {
    for (const char* name : {"a", "b"}) {
      engine::LoadOptions options;
      options.path = name;
      options.sequences = 1;
      residency.define(name, {&factory, options, {}, false});
    }
  }
  void park_a_victim() {
    victim = submit("a", of(scheduling::Priority::background)).second;
    loop.advance(2s);
    engine("a").say(engine("a").running.begin()->first, "one ", 1);
    first = submit("a", of(scheduling::Priority::critical)).second;
    loop.run_ready();
    ASSERT_EQ(engine("a").running.size(), 2U);
  }
  std::shared_ptr<Heard> victim, first;
};

TEST_F(ParkedVictimTest, DoesNotKeepItsEngineFromMakingRoomForACriticalTaskOfAnotherModel) {
  factory.scripts["a"].memory = factory.scripts["b"].memory = {{"host", 600_MiB, 0_B, 0_B}};  // one of the two fits
  make(with_preemption());
  park_a_victim();
  auto second = submit("b", of(scheduling::Priority::critical)).second;
  loop.advance(3s);
  ASSERT_EQ(engine("a").running.size(), 1U) << "only the critical one is left";
  EXPECT_EQ(engine("a").running.begin()->second.request.priority, 0);
  engine("a").finish(engine("a").running.begin()->first);
  loop.advance(3s);
  ASSERT_NE(factory.alive("b"), nullptr);
  ASSERT_EQ(engine("b").running.size(), 1U);
  EXPECT_TRUE(first->done);
  EXPECT_EQ(victim->ends, 0);
  engine("b").finish(engine("b").running.begin()->first);
  loop.advance(2min);
  ASSERT_NE(factory.alive("a"), nullptr);
  ASSERT_EQ(engine("a").running.size(), 1U);
  EXPECT_THAT(engine("a").running.begin()->second.request.answered, ElementsAre(1));
  engine("a").finish(engine("a").running.begin()->first);
  loop.run_ready();
  ASSERT_TRUE(victim->done.has_value());
  EXPECT_EQ(victim->done->attempts, 1);
}

TEST_F(ParkedVictimTest, DoesNotGenerateWhileAnotherModelHasTheTurn) {
  DispatcherOptions options = with_preemption();
  options.scheduling.caps.generating_engines = 1;
  make(options);
  residency.ensure("b", [](const Status&) {});
  loop.advance(2s);
  park_a_victim();
  auto second = submit("b", of(scheduling::Priority::critical)).second;
  loop.run_ready();
  engine("a").finish(engine("a").running.rbegin()->first);
  loop.run_ready();
  EXPECT_TRUE(first->done);
  EXPECT_EQ(engine("b").running.size(), 1U);
  EXPECT_THAT(engine("a").running, IsEmpty()) << "one engine generates at a time";
  engine("b").finish(engine("b").running.begin()->first);
  loop.advance(1min);
  ASSERT_EQ(engine("a").running.size(), 1U);
  EXPECT_EQ(victim->ends, 0);
}

TEST_F(DispatcherTest, AnEmbeddingThatIsRefusedSaysWhenToComeAgain) {
  scheduling::Limits limits;
  limits.tokens_per_minute = 60;
  dispatcher->limit_caller("small", limits);
  ASSERT_TRUE(dispatcher->admit_embedding("small", 60));
  const auto refused = dispatcher->admit_embedding("small", 30);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.code, ErrorCode::quota_exhausted);
  EXPECT_GT(refused.error().retry_after, 20s);
}

TEST_F(DispatcherTest, AModelThatCannotLoadEndsAllItsTasks) {
  factory.scripts["a"].memory = {{"host", 2_GiB, 0_B, 0_B}};
  auto [first, one] = submit("a");
  auto [second, two] = submit("a");
  loop.advance(3s);
  ASSERT_TRUE(one->failure.has_value());
  ASSERT_TRUE(two->failure.has_value());
  EXPECT_EQ(one->failure->error.code, ErrorCode::out_of_memory);
}

TEST_F(DispatcherTest, ALoadThatCrashesIsTriedOnceMore) {
  factory.scripts["a"].load_fails = Error{ErrorCode::unavailable, "the worker died on load", {}};
  auto [id, heard] = submit("a");
  loop.advance(1min);
  ASSERT_TRUE(heard->failure.has_value());
  EXPECT_EQ(factory.started.size(), 2U);
  EXPECT_THAT(heard->failure->error.message, HasSubstr("died on load"));
}

TEST_F(DispatcherTest, ADeadlineThatPassesEndsTheTask) {
  TaskRequest request;
  request.deadline = 3s;
  auto [id, heard] = submit("a", request);
  loop.advance(10s);
  ASSERT_TRUE(heard->failure.has_value());
  EXPECT_EQ(heard->failure->error.code, ErrorCode::deadline_exceeded);
  EXPECT_THAT(engine("a").running, IsEmpty());
}

TEST_F(DispatcherTest, AFullQueueRefusesWithATimeToComeAgain) {
  DispatcherOptions options;
  options.scheduling.caps.queue_length = 3;
  options.scheduling.critical_reserve = 0;
  make(options);
  for (int i = 0; i < 3; ++i) submit("a");
  auto [id, heard] = submit("a");
  loop.run_ready();
  ASSERT_TRUE(heard->failure.has_value());
  EXPECT_EQ(heard->failure->error.code, ErrorCode::overloaded);
  EXPECT_GT(heard->failure->retry_after.value_or(Duration::zero()), Duration::zero());
}

TEST_F(DispatcherTest, DrainingRefusesNewTasksAndEndsWithTheLast) {
  auto [id, heard] = submit("a");
  loop.advance(2s);
  bool drained = false;
  dispatcher->drain([&] { drained = true; });
  auto [late, refused] = submit("a");
  loop.run_ready();
  EXPECT_TRUE(refused->failure.has_value());
  EXPECT_FALSE(drained);
  engine("a").finish(engine("a").running.begin()->first);
  loop.run_ready();
  EXPECT_TRUE(drained);
  EXPECT_TRUE(heard->done.has_value());
}

TEST_F(DispatcherTest, AgentsAreKnownToWaitAndToWork) {
  TaskRequest request;
  request.agent = "triage";
  auto [id, heard] = submit("a", request);
  EXPECT_TRUE(dispatcher->waits("triage"));
  EXPECT_FALSE(dispatcher->works("triage"));
  loop.advance(2s);
  EXPECT_TRUE(dispatcher->works("triage"));
  engine("a").finish(engine("a").running.begin()->first);
  loop.run_ready();
  EXPECT_FALSE(dispatcher->works("triage"));
  EXPECT_FALSE(dispatcher->waits("triage"));
}

}  // namespace
}  // namespace skep::agent
