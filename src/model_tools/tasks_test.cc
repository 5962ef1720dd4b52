#include "model_tools/tasks.h"

#include <gmock/gmock.h>

#include "model_tools/testing.h"

namespace skep::model_tools {
namespace {

using ::testing::HasSubstr;

TaskExample task(const std::string& line) {
  auto parsed = parse_task(line, "tasks.jsonl:1");
  EXPECT_TRUE(parsed) << parsed.error().text();
  return parsed ? *parsed : TaskExample{};
}

TEST(Tasks, APromptIsOneUserMessage) {
  const TaskExample t = task(R"({"prompt": "2+2?", "answer": "4", "kind": "sum", "steps": 2, "other": true})");
  ASSERT_EQ(t.messages.size(), 1U);
  EXPECT_EQ(t.messages[0].role, "user");
  EXPECT_EQ(t.messages[0].content, "2+2?");
  EXPECT_EQ(t.kind, "sum");
  EXPECT_EQ(t.steps, 2);
}

TEST(Tasks, TextIsRightWhenItIsTheSameApartFromWhiteSpaceAtItsEnds) {
  const TaskExample t = task(R"({"messages": [{"role": "user", "content": "?"}], "answer": "over limit"})");
  EXPECT_TRUE(is_right(t, " over limit\n"));
  EXPECT_FALSE(is_right(t, "over  limit"));
  EXPECT_FALSE(is_right(t, "Over limit"));
  EXPECT_FALSE(is_right(t, ""));
}

TEST(Tasks, JsonIsRightWhenItMeansTheSame) {
  const TaskExample t = task(R"({"prompt": "?", "answer": {"sensor": "p4", "value": 71, "tags": ["a", "b"]}})");
  EXPECT_TRUE(is_right(t, R"( {"value": 71.0, "tags": ["a","b"], "sensor":"p4"} )"));
  EXPECT_FALSE(is_right(t, R"({"value": 71, "sensor": "p4"})"));
  EXPECT_FALSE(is_right(t, R"({"value": 71, "tags": ["b","a"], "sensor": "p4"})"));
  EXPECT_FALSE(is_right(t, R"({"value": 71, "tags": ["a","b"], "sensor": "p4", "more": 1})"));
  EXPECT_FALSE(is_right(t, R"(Here: {"value": 71, "tags": ["a","b"], "sensor": "p4"})"));
}

TEST(Tasks, JsonGivenAsTextIsComparedAsJsonWhenTheTaskSaysSo) {
  const TaskExample t = task(R"({"prompt": "?", "answer": "{\"a\": 1}", "match": "json"})");
  EXPECT_TRUE(is_right(t, "{\"a\":1}"));
}

TEST(Tasks, ReasoningBeforeTheLastLineDoesNotCount) {
  const TaskExample t = task(R"({"prompt": "?", "answer": "3 is more than 2.\nanswer: B", "match": "last_line"})");
  EXPECT_TRUE(is_right(t, "something else\nanswer: B \n"));
  EXPECT_FALSE(is_right(t, "answer: B\nanswer: C"));
}

TEST(Tasks, AnErrorNamesTheLine) {
  for (const char* line :
       {"{}", "[]", "nonsense", R"({"prompt": "?"})", R"({"messages": [], "answer": "x"})",
        R"({"messages": [{"role": "user"}], "answer": "x"})", R"({"prompt": "?", "answer": "x", "match": "soundex"})",
        R"({"prompt": "?", "answer": "x", "match": "json"})"}) {
    const auto parsed = parse_task(line, "tasks.jsonl:7");
    ASSERT_FALSE(parsed) << line;
    EXPECT_THAT(parsed.error().message, HasSubstr("tasks.jsonl:7")) << line;
  }
}

using TaskFileTest = ToolTest;

TEST_F(TaskFileTest, IsReadToItsEndOrToTheLimit) {
  write(at("t.jsonl"), "{\"prompt\":\"a\",\"answer\":\"1\"}\n\n{\"prompt\":\"b\",\"answer\":\"2\"}");
  EXPECT_EQ(read_tasks(at("t.jsonl"))->size(), 2U);
  EXPECT_EQ(read_tasks(at("t.jsonl"), 1)->size(), 1U);
  EXPECT_EQ(read_tasks(at("none.jsonl")).error().code, ErrorCode::not_found);
  write(at("empty.jsonl"), "\n");
  EXPECT_FALSE(read_tasks(at("empty.jsonl")));
}

}  // namespace
}  // namespace skep::model_tools
