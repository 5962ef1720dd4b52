#include "model_tools/task_eval.h"

#include <gmock/gmock.h>

#include "model_tools/testing.h"

namespace skep::model_tools {
namespace {

class TaskEvalTest : public ToolTest {
 protected:
  TaskEvalOptions options(const std::string& model) {
    TaskEvalOptions o;
    o.answerer.model = model;
    o.answerer.executable = SKEP_ENGINE_MAIN;
    o.answerer.arguments = {"3"};
    o.answerer.context_tokens = 256;
    o.answerer.slots = 3;
    o.answerer.threads = 1;
    o.answerer.forward = "llama";  // leaves no weight cache behind
    o.max_tokens = 8;
    return o;
  }
  static TaskExample task(const std::string& prompt, const std::string& answer, const std::string& kind, int steps) {
    TaskExample t;
    t.messages = {{"user", prompt}};
    t.answer = answer;
    t.kind = kind;
    t.steps = steps;
    return t;
  }
};

TEST_F(TaskEvalTest, CountsWhatTheModelAnswersByKindAndSteps) {
  const std::string model = make_model("m.gguf");
  // What this model says to these is noise, but always the same noise: ask first, then expect it of some.
  std::vector<TaskExample> tasks;
  for (int i = 0; i < 7; ++i) tasks.push_back(task(fmt::format("line {}", i), "?", i < 3 ? "a" : "b", i % 2 + 1));
  TaskEvalOptions o = options(model);
  o.keep_wrong = 100;
  const auto first = evaluate_tasks(tasks, o, {});
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_EQ(first->total().tasks, 7);
  EXPECT_EQ(first->total().right, 0);
  EXPECT_EQ(first->total().failed, 0);
  EXPECT_GT(first->total().completion_tokens, 0);
  ASSERT_EQ(first->wrong.size(), 7U);
  for (const WrongAnswer& said : first->wrong) {
    for (TaskExample& t : tasks) {
      if (t.messages[0].content == said.question && t.kind == "a") t.answer = said.given;
    }
  }
  const auto second = evaluate_tasks(tasks, o, {});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->by_kind()["a"].right, 3);
  EXPECT_EQ(second->by_kind()["b"].right, 0);
  EXPECT_EQ(second->by_steps()[1].tasks, 4);
  EXPECT_EQ(second->by_steps()[2].tasks, 3);
}

TEST_F(TaskEvalTest, ATaskThatDoesNotFitFailsAloneAndCountsAsWrong) {
  const std::vector<TaskExample> tasks = {task(sample_text(2000), "x", "long", 1), task("short", "x", "short", 1)};
  const auto eval = evaluate_tasks(tasks, options(make_model("m.gguf")), {});
  ASSERT_TRUE(eval) << eval.error().text();
  EXPECT_EQ(eval->total().tasks, 2);
  EXPECT_EQ(eval->total().failed, 1);
}

TEST_F(TaskEvalTest, AModelThatIsNoneIsAnError) {
  write(at("no.gguf"), "nothing");
  EXPECT_FALSE(evaluate_tasks({task("a", "b", "c", 1)}, options(at("no.gguf")), {}));
}

TEST_F(TaskEvalTest, CanBeStopped) {
  const std::vector<TaskExample> tasks(20, task("a", "b", "c", 1));
  const auto eval = evaluate_tasks(tasks, options(make_model("m.gguf")), [](const Progress&) { return false; });
  ASSERT_FALSE(eval);
  EXPECT_EQ(eval.error().code, ErrorCode::cancelled);
}

TEST(Score, TheIntervalHoldsTheAccuracyAndNarrowsWithTasks) {
  const auto few = confidence({.tasks = 10, .right = 9});
  const auto many = confidence({.tasks = 1000, .right = 900});
  EXPECT_LT(few.first, 0.9);
  EXPECT_GT(few.second, 0.9);
  EXPECT_NEAR(few.first, 0.5958, 1e-3);  // Wilson, by hand
  EXPECT_LT(many.second - many.first, few.second - few.first);
  EXPECT_LE(confidence({.tasks = 5, .right = 5}).second, 1.0 + 1e-12);
}

}  // namespace
}  // namespace skep::model_tools
