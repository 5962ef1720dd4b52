#include "model_tools/distill.h"

#include <gmock/gmock.h>

#include "model_tools/tasks.h"
#include "model_tools/testing.h"

namespace skep::model_tools {
namespace {

class DistillTest : public ToolTest {
 protected:
  // A model of noise rarely ends its turn: the tests that need whole answers stop it at the first end-of-turn token,
  // or make do with none.
  CollectOptions options() {
    CollectOptions o;
    o.teacher.model = make_model("teacher.gguf");
    o.teacher.executable = SKEP_ENGINE_MAIN;
    o.teacher.arguments = {"3"};
    o.teacher.context_tokens = 512;
    o.teacher.threads = 1;
    o.teacher.forward = "llama";
    o.questions = at("questions.jsonl");
    o.output = at("answers.jsonl");
    o.max_tokens = 4;
    return o;
  }
};

TEST_F(DistillTest, AnswersThatWereCutOffAreNotTaught) {
  write(at("questions.jsonl"), "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n");
  const auto done = collect_answers(options(), {});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->questions, 2);
  EXPECT_EQ(done->kept + done->failed, 2);
  std::string text = read(at("answers.jsonl"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), done->kept);
}

TEST_F(DistillTest, WhatIsAnsweredIsNotAskedAgainAndATornLineIs) {
  write(at("questions.jsonl"), "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n{\"prompt\": \"c\"}\n");
  TaskExample a;
  a.messages = {{"user", "a"}};
  a.answer = "yes";
  write(at("answers.jsonl"), task_line(a) + "\n" + task_line(a).substr(0, 20));
  const auto done = collect_answers(options(), {});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->known, 1);
  EXPECT_EQ(done->kept + done->failed, 2);
  EXPECT_EQ(read(at("answers.jsonl")).substr(0, task_line(a).size() + 1), task_line(a) + "\n");
  const auto all = read_tasks(at("answers.jsonl"));
  ASSERT_TRUE(all) << all.error().text();
  EXPECT_EQ(static_cast<int64_t>(all->size()), 1 + done->kept);
}

TEST_F(DistillTest, OnlyRightAnswersAreKeptWhenAsked) {
  write(at("questions.jsonl"), "{\"prompt\": \"a\", \"answer\": \"what no model of noise says\"}\n");
  CollectOptions o = options();
  o.only_right = true;
  const auto done = collect_answers(o, {});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->kept, 0);
  write(at("questions.jsonl"), "{\"prompt\": \"a\"}\n");
  EXPECT_EQ(collect_answers(o, {}).error().code, ErrorCode::invalid_argument);
}

TEST_F(DistillTest, AServerThatIsNotThereIsAnError) {
  write(at("questions.jsonl"), "{\"prompt\": \"a\"}\n");
  CollectOptions o = options();
  o.teacher.url = "http://127.0.0.1:9";  // discard: nobody listens
  const auto done = collect_answers(o, {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::unavailable);
}

TEST(TaskLine, ComesBackAsItWas) {
  TaskExample task;
  task.messages = {{"system", "be\nshort"}, {"user", "\"quoted\""}};
  task.answer = "two\nlines";
  task.kind = "k";
  task.steps = 3;
  task.max_tokens = 9;
  task.match = Match::last_line;
  const auto back = parse_task(task_line(task), "x");
  ASSERT_TRUE(back);
  EXPECT_EQ(back->messages, task.messages);
  EXPECT_EQ(back->answer, task.answer);
  EXPECT_EQ(back->kind, "k");
  EXPECT_EQ(back->steps, 3);
  EXPECT_EQ(back->max_tokens, 9);
  EXPECT_EQ(back->match, Match::last_line);
}

}  // namespace
}  // namespace skep::model_tools
