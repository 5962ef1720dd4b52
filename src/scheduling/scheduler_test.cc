#include "scheduling/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace skep::scheduling {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

EngineFacts ready(const std::string& model, int slots = 1) {
  return {.model = model, .state = EngineState::ready, .slots = slots};
}
EngineFacts absent(const std::string& model, bool fits = true, Duration cost = seconds(2)) {
  return {.model = model, .state = EngineState::absent, .load_cost = cost, .fits = fits};
}

class SchedulerTest : public ::testing::Test {
 protected:
  TaskFacts task(TaskId id, const std::string& model = "m", Priority priority = Priority::normal,
                 const std::string& agent = "a") {
    return {.id = id,
            .agent = agent,
            .model = model,
            .priority = priority,
            .submitted = clock_.now(),
            .prompt_tokens = 100,
            .max_tokens = 50};
  }
  void admit(const TaskFacts& facts) { ASSERT_TRUE(scheduler_.admit(facts, clock_.now())); }
  std::vector<Action> decide(const std::vector<EngineFacts>& engines) {
    Decision decision = scheduler_.decide(clock_.now(), engines);
    wake_ = decision.wake;
    return decision.actions;
  }
  void finish(TaskId id) {
    ASSERT_TRUE(scheduler_.ended(id, End::finished, {.prompt_tokens = 100, .completion_tokens = 50}, clock_.now()));
  }
  // Ids in the order in which one slot serves them.
  std::vector<TaskId> serve_all(const std::vector<EngineFacts>& engines) {
    std::vector<TaskId> order;
    for (;;) {
      TaskId started = 0;
      for (const Action& action : decide(engines)) {
        if (const auto* start = std::get_if<Start>(&action)) started = start->task;
      }
      if (started == 0) return order;
      order.push_back(started);
      finish(started);
    }
  }

  ManualClock clock_;
  Scheduler scheduler_;
  std::optional<TimePoint> wake_;
};

using Order = std::vector<TaskId>;

TEST_F(SchedulerTest, StartsATaskOnAReadyEngineAndLoadsAnAbsentOne) {
  admit(task(1, "m"));
  admit(task(2, "n"));
  EXPECT_THAT(decide({ready("m"), absent("n")}), ElementsAre(Action(Start{1, "m"}), Action(Load{"n"})));
  EXPECT_EQ(scheduler_.running(), 1);
  EXPECT_EQ(scheduler_.waiting(), 1);
  EXPECT_EQ(scheduler_.waiting("n"), 1);
  EXPECT_THAT(scheduler_.models_waiting(), ElementsAre("n"));
  EXPECT_THAT(decide({ready("m"), {.model = "n", .state = EngineState::loading}}), IsEmpty());
  EXPECT_THAT(decide({ready("m"), ready("n")}), ElementsAre(Action(Start{2, "n"})));
}

TEST_F(SchedulerTest, ServesTheClassesInOrder) {
  admit(task(1, "m", Priority::background));
  admit(task(2, "m", Priority::normal));
  admit(task(3, "m", Priority::high));
  admit(task(4, "m", Priority::critical));
  EXPECT_EQ(serve_all({ready("m")}), (Order{4, 3, 2, 1}));
}

TEST_F(SchedulerTest, AWaitingTaskRisesThroughTheClasses) {
  admit(task(1, "m", Priority::background));
  clock_.advance(seconds(30));  // now normal
  admit(task(2, "m", Priority::normal));
  admit(task(3, "m", Priority::high));
  EXPECT_EQ(serve_all({ready("m")}), (Order{3, 1, 2}));
}

TEST_F(SchedulerTest, AnAgedTaskComesBeforeAllThatIsNotCritical) {
  admit(task(1, "m", Priority::background));
  clock_.advance(seconds(120));
  admit(task(2, "m", Priority::high));
  admit(task(3, "m", Priority::critical));
  EXPECT_EQ(serve_all({ready("m")}), (Order{3, 1, 2}));
}

TEST_F(SchedulerTest, CriticalTasksPassAnAgedOneOnlyForABurst) {
  admit(task(1, "m", Priority::background));
  clock_.advance(seconds(120));
  for (TaskId id = 2; id < 20; ++id) admit(task(id, "m", Priority::critical));
  const Order order = serve_all({ready("m")});
  EXPECT_EQ(std::find(order.begin(), order.end(), 1) - order.begin(), Config{}.critical_burst);
}

TEST_F(SchedulerTest, AgentsShareTheEngineByWeight) {
  for (TaskId id = 1; id <= 30; ++id) admit(task(id, "m", Priority::normal, "light"));
  for (TaskId id = 101; id <= 130; ++id) {
    TaskFacts facts = task(id, "m", Priority::normal, "heavy");
    facts.weight = 2;
    admit(facts);
  }
  Order order = serve_all({ready("m")});
  order.resize(30);
  EXPECT_NEAR(std::count_if(order.begin(), order.end(), [](TaskId id) { return id > 100; }), 20, 1);
}

TEST_F(SchedulerTest, ADeadlineAtRiskComesFirstInItsClass) {
  EngineFacts engine = ready("m");
  engine.prefill_tokens_per_second = 100;
  engine.decode_tokens_per_second = 10;  // 100 / 100 + 50 / 10: 6 s a task
  admit(task(1));
  TaskFacts hurried = task(2);
  hurried.deadline = clock_.now() + seconds(15);  // less than three times
  admit(hurried);
  TaskFacts relaxed = task(3);
  relaxed.deadline = clock_.now() + seconds(1000);
  admit(relaxed);
  admit(task(4, "m", Priority::high));
  EXPECT_EQ(serve_all({engine}), (Order{4, 2, 1, 3}));
}

TEST_F(SchedulerTest, WakesWhenADeadlineBecomesCriticalAndExpiresItWhenItIsHopeless) {
  EngineFacts engine = ready("m");
  engine.prefill_tokens_per_second = 100;
  engine.decode_tokens_per_second = 10;
  admit(task(1));
  TaskFacts late = task(2);
  late.deadline = clock_.now() + seconds(20);
  admit(late);
  EXPECT_THAT(decide({engine}), ElementsAre(Action(Start{1, "m"})));
  EXPECT_EQ(wake_, clock_.now() + seconds(2) + Duration(1));  // 18 s are left: at risk
  clock_.advance(seconds(2) + Duration(1));
  EXPECT_THAT(decide({engine}), IsEmpty());
  EXPECT_EQ(wake_, clock_.now() + seconds(15));  // 3 s are left of 6: hopeless
  clock_.advance(seconds(15));
  EXPECT_THAT(decide({engine}), ElementsAre(Action(Expire{2, false, seconds(6)})));
  EXPECT_FALSE(scheduler_.find(2));
  EXPECT_FALSE(scheduler_.ended(2, End::failed, {}, clock_.now()));
}

TEST_F(SchedulerTest, WhatIsHopelessFromTheStartIsAnsweredBeforeItTakesASlot) {
  EngineFacts engine = ready("m");
  engine.prefill_tokens_per_second = 100;
  engine.decode_tokens_per_second = 10;
  decide({engine});
  admit(task(1));
  EXPECT_THAT(decide({engine}), ElementsAre(Action(Start{1, "m"})));
  TaskFacts late = task(2);
  late.deadline = clock_.now() + seconds(2);  // of 6
  admit(late);
  engine.slots = 2;
  EXPECT_THAT(decide({engine}), ElementsAre(Action(Expire{2, false, seconds(6)})));
}

TEST_F(SchedulerTest, WithoutMeasuredRatesOnlyTheDeadlineItselfExpires) {
  TaskFacts facts = task(1);
  facts.deadline = clock_.now() + seconds(5);
  admit(facts);
  EXPECT_THAT(decide({{.model = "m", .state = EngineState::loading}}), IsEmpty());
  EXPECT_EQ(wake_, clock_.now() + seconds(5));
  clock_.advance(seconds(5));
  EXPECT_THAT(decide({{.model = "m", .state = EngineState::loading}}), ElementsAre(Action(Expire{1, false, {}})));
}

TEST_F(SchedulerTest, ARunningTaskExpiresAtItsDeadline) {
  TaskFacts facts = task(1);
  facts.deadline = clock_.now() + seconds(5);
  admit(facts);
  EXPECT_THAT(decide({ready("m")}), ElementsAre(Action(Start{1, "m"})));
  clock_.advance(seconds(5));
  EXPECT_THAT(decide({ready("m")}), ElementsAre(Action(Expire{1, true, {}})));
  EXPECT_EQ(scheduler_.running(), 0);
}

TEST_F(SchedulerTest, SlowerRatesThanBeforeMakeADeadlineHopelessAtOnce) {
  EngineFacts engine = ready("m");
  engine.prefill_tokens_per_second = 100;
  engine.decode_tokens_per_second = 10;
  admit(task(1));
  TaskFacts facts = task(2);
  facts.deadline = clock_.now() + seconds(30);
  admit(facts);
  decide({engine});
  engine.decode_tokens_per_second = 0.5;  // 101 s
  EXPECT_THAT(decide({engine}), ElementsAre(Action(Expire{2, false, seconds(101)})));
}

TEST_F(SchedulerTest, NeverGeneratesOnMoreEnginesThanAllowed) {
  for (TaskId id = 1; id <= 6; ++id) admit(task(id, "m" + std::to_string(id % 3)));
  const auto actions = decide({ready("m0", 4), ready("m1", 4), ready("m2", 4)});
  EXPECT_EQ(actions.size(), 4U);
  EXPECT_EQ(scheduler_.generating_engines(), 2);
}

TEST_F(SchedulerTest, RemoteEnginesDoNotCountAsGeneratingHere) {
  for (TaskId id = 1; id <= 3; ++id) admit(task(id, "m" + std::to_string(id)));
  EngineFacts remote = ready("m3");
  remote.remote = true;
  EXPECT_EQ(decide({ready("m1"), ready("m2"), remote}).size(), 3U);
  EXPECT_EQ(scheduler_.generating_engines(), 2);
}

TEST_F(SchedulerTest, NeverRunsMoreTasksThanAllowed) {
  scheduler_ = Scheduler({.caps = {.running_tasks = 3}});
  for (TaskId id = 1; id <= 8; ++id) admit(task(id, id % 2 == 0 ? "m" : "n"));
  EXPECT_EQ(decide({ready("m", 8), ready("n", 8)}).size(), 3U);
  finish(1);
  EXPECT_EQ(decide({ready("m", 8), ready("n", 8)}).size(), 1U);
}

TEST_F(SchedulerTest, AThirdEngineGetsItsTurnThoughTwoAreBusyAllTheTime) {
  for (TaskId id = 1; id <= 50; ++id) admit(task(id, id % 2 == 0 ? "m" : "n"));
  admit(task(100, "third"));
  // Two slots each, one task ends at a time: without yielding neither would ever be idle.
  const std::vector<EngineFacts> engines = {ready("m", 2), ready("n", 2), ready("third", 2)};
  std::vector<TaskId> running;
  int steps = 0;
  for (bool third = false; !third; ++steps) {
    ASSERT_LT(steps, 10);
    for (const Action& action : decide(engines)) {
      running.push_back(std::get<Start>(action).task);
      third = third || running.back() == 100;
    }
    EXPECT_LE(scheduler_.generating_engines(), 2);
    clock_.advance(milliseconds(400));
    finish(running.front());
    running.erase(running.begin());
  }
}

TEST_F(SchedulerTest, GroupsByModelAndSwapsOnlyWhenSomeoneHasWaitedLong) {
  admit(task(1, "resident"));
  admit(task(2, "resident"));
  admit(task(3, "other"));
  const std::vector<EngineFacts> engines = {ready("resident"), absent("other", false, seconds(3))};
  EXPECT_THAT(decide(engines), ElementsAre(Action(Start{1, "resident"})));
  EXPECT_EQ(wake_, clock_.now() + seconds(12));  // swap_factor * load cost < group_wait
  clock_.advance(seconds(11));
  EXPECT_THAT(decide(engines), IsEmpty());
  clock_.advance(seconds(1));
  EXPECT_THAT(decide(engines), ElementsAre(Action(Load{"other"})));
}

TEST_F(SchedulerTest, ACriticalTaskSwapsAtOnce) {
  admit(task(1, "resident"));
  admit(task(2, "other", Priority::critical));
  EXPECT_THAT(decide({ready("resident"), absent("other", false)}),
              UnorderedElementsAre(Action(Start{1, "resident"}), Action(Load{"other"})));
}

TEST_F(SchedulerTest, AnEngineThatDrainsStartsNothing) {
  admit(task(1));
  EXPECT_THAT(decide({{.model = "m", .state = EngineState::draining}}), IsEmpty());
}

TEST_F(SchedulerTest, AFailedEngineIsLoadedAgainWhenItsBackOffIsOver) {
  admit(task(1));
  const EngineFacts failed{.model = "m", .state = EngineState::failed, .retry_at = clock_.now() + seconds(8)};
  EXPECT_THAT(decide({failed}), IsEmpty());
  EXPECT_EQ(wake_, clock_.now() + seconds(8));
  clock_.advance(seconds(8));
  EXPECT_THAT(decide({failed}), ElementsAre(Action(Load{"m"})));
}

TEST_F(SchedulerTest, LoadsOneModelAtATimeTheMostUrgentFirst) {
  admit(task(1, "x"));
  admit(task(2, "y", Priority::high));
  EXPECT_THAT(decide({absent("x"), absent("y")}), ElementsAre(Action(Load{"y"})));
  EXPECT_THAT(decide({absent("x"), {.model = "y", .state = EngineState::loading}}), IsEmpty());
}

TEST_F(SchedulerTest, AFullQueueAnswersOverloadedWithATimeThatFollowsThePace) {
  scheduler_ = Scheduler({.caps = {.queue_length = 16}, .critical_reserve = 0.125});
  for (TaskId id = 1; id <= 14; ++id) admit(task(id));
  for (TaskId id = 1; id <= 2; ++id) {
    decide({ready("m")});
    clock_.advance(seconds(7));
    finish(id);
    admit(task(100 + id));
  }
  const auto refused = scheduler_.admit(task(200), clock_.now());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.code, ErrorCode::overloaded);
  EXPECT_EQ(refused.error().retry_after, seconds(14));  // a sixteenth of the queue and one, 7 s each
  EXPECT_TRUE(scheduler_.admit(task(201, "m", Priority::critical), clock_.now()));
}

TEST_F(SchedulerTest, ACallerOverItsTokensIsToldWhenTheyAreBack) {
  scheduler_.limit_caller("key", {.tokens_per_minute = 300});
  TaskFacts facts = task(1);
  facts.caller = "key";
  admit(facts);  // 150
  facts.id = 2;
  admit(facts);
  facts.id = 3;
  const auto refused = scheduler_.admit(facts, clock_.now());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.code, ErrorCode::quota_exhausted);
  EXPECT_NEAR(skep::seconds(refused.error().retry_after), 30, 1e-3);
  // The first takes less than estimated: 100 tokens are given back.
  decide({ready("m")});
  ASSERT_TRUE(scheduler_.ended(1, End::finished, {.prompt_tokens = 40, .completion_tokens = 10}, clock_.now()));
  EXPECT_NEAR(skep::seconds(scheduler_.admit(facts, clock_.now()).error().retry_after), 2, 1e-3);
  // One that is cancelled while it waits costs nothing.
  ASSERT_TRUE(scheduler_.ended(2, End::cancelled, {}, clock_.now()));
  EXPECT_TRUE(scheduler_.admit(facts, clock_.now()));
}

TEST_F(SchedulerTest, AnAgentHasNoMoreTasksAtOnceThanItsLimit) {
  scheduler_ = Scheduler({.agent_limits = {.concurrent = 2}});
  admit(task(1));
  admit(task(2));
  const auto refused = scheduler_.admit(task(3), clock_.now());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.code, ErrorCode::quota_exhausted);
  EXPECT_GE(refused.error().retry_after, seconds(1));
  EXPECT_TRUE(scheduler_.admit(task(4, "m", Priority::normal, "b"), clock_.now()));
  ASSERT_TRUE(scheduler_.ended(1, End::cancelled, {}, clock_.now()));
  EXPECT_TRUE(scheduler_.admit(task(3), clock_.now()));
}

TEST_F(SchedulerTest, ARequeuedTaskKeepsItsAgeAndMayChangeTheModel) {
  admit(task(1));
  decide({ready("m")});
  clock_.advance(seconds(1));
  admit(task(2, "other"));
  ASSERT_TRUE(scheduler_.requeue(1, "other", {.prompt_tokens = 0, .completion_tokens = 0}, clock_.now()));
  EXPECT_EQ(scheduler_.running(), 0);
  EXPECT_EQ(scheduler_.waiting("m"), 0);
  EXPECT_EQ(serve_all({ready("other")}), (Order{1, 2}));
  EXPECT_FALSE(scheduler_.requeue(1, "m", {}, clock_.now()));
}

TEST_F(SchedulerTest, ACriticalTaskPreemptsTheLeastImportantThatStartedLast) {
  scheduler_ = Scheduler({.preemption = true});
  admit(task(1, "m", Priority::background));
  decide({ready("m", 3)});
  clock_.advance(seconds(1));
  admit(task(2, "m", Priority::background));
  admit(task(3, "m", Priority::normal));
  decide({ready("m", 3)});
  admit(task(4, "m", Priority::critical));
  EXPECT_THAT(decide({ready("m", 3)}), ElementsAre(Action(Preempt{2, 4})));
  EXPECT_THAT(decide({ready("m", 3)}), IsEmpty());  // once
  ASSERT_TRUE(scheduler_.requeue(2, "m", {}, clock_.now()));
  EXPECT_THAT(decide({ready("m", 3)}), ElementsAre(Action(Start{4, "m"})));
}

TEST_F(SchedulerTest, ACriticalTaskOfAModelThatLoadsEmptiesTheEngineThatMakesRoom) {
  scheduler_ = Scheduler({.preemption = true});
  admit(task(1, "m", Priority::background));
  admit(task(2, "m", Priority::critical));
  decide({ready("m", 3)});
  admit(task(3, "urgent", Priority::critical));
  EngineFacts leaves = ready("m", 3);
  leaves.state = EngineState::draining;
  EngineFacts comes = ready("urgent", 3);
  comes.state = EngineState::loading;
  EXPECT_THAT(decide({leaves, comes}), ElementsAre(Action(Preempt{1, 3}))) << "never the critical one";
  EXPECT_THAT(decide({leaves, comes}), IsEmpty());
}

TEST_F(SchedulerTest, ACriticalTaskTakesTheTurnOfAnEngineThatGenerates) {
  Config config{.preemption = true};
  config.caps.generating_engines = 1;
  scheduler_ = Scheduler(config);
  admit(task(1, "m", Priority::normal));
  admit(task(2, "m", Priority::normal));
  decide({ready("m", 3), ready("urgent", 3)});
  admit(task(3, "urgent", Priority::critical));
  EXPECT_THAT(decide({ready("m", 3), ready("urgent", 3)}), ElementsAre(Action(Preempt{1, 3}), Action(Preempt{2, 3})));
  for (const TaskId id : {1U, 2U}) ASSERT_TRUE(scheduler_.requeue(id, "m", {}, clock_.now()));
  EXPECT_THAT(decide({ready("m", 3), ready("urgent", 3)}), ElementsAre(Action(Start{3, "urgent"})));
}

TEST_F(SchedulerTest, WithoutPreemptionACriticalTaskIsMerelyNext) {
  admit(task(1, "m", Priority::background));
  decide({ready("m")});
  admit(task(2, "m", Priority::critical));
  EXPECT_THAT(decide({ready("m")}), IsEmpty());
}

TEST_F(SchedulerTest, ListsRunningTasksFirstThenTheOldest) {
  admit(task(1));
  admit(task(2));
  clock_.advance(seconds(1));
  admit(task(3, "m", Priority::critical));
  decide({ready("m")});
  Order ids;
  for (const TaskRow& row : scheduler_.tasks()) ids.push_back(row.facts.id);
  EXPECT_EQ(ids, (Order{3, 1, 2}));
  EXPECT_EQ(scheduler_.tasks(1).size(), 1U);
  EXPECT_TRUE(scheduler_.find(3)->running);
}

}  // namespace
}  // namespace skep::scheduling
