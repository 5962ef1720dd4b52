#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/wire/control_task_format.h"
#include "api/wire/control_task_request.h"
#include "api/wire/control_views.h"

namespace skep::api::wire {
namespace {

HttpRequest request(std::string body) {
  HttpRequest result;
  result.body = std::move(body);
  return result;
}

TEST(ControlTaskRequest, TakesATextOrMessages) {
  auto text = parse_control_task(request(R"({"agent":"dev-1","input":"hi","priority":"background","max_tokens":5})"));
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(text->tasks.at(0).agent, "dev-1");
  EXPECT_EQ(text->tasks[0].model, "");
  EXPECT_EQ(text->tasks[0].input.messages.at(0).content, "hi");
  EXPECT_EQ(text->tasks[0].priority, scheduling::Priority::background);
  EXPECT_EQ(text->tasks[0].input.overrides.max_tokens, 5);
  EXPECT_TRUE(parse_control_task(request(R"({"messages":[{"role":"user","content":"hi"}],"stream":true})"))->stream);
  EXPECT_EQ(parse_control_task(request("{}")).error().param, "input");
  EXPECT_EQ(parse_control_task(request(R"({"input":"a","messages":[]})")).error().param, "input");
}

TEST(ControlTaskFormat, TellsATasksCourse) {
  ControlTaskFormat format;
  agent::TaskStarted started{7, {"tiny", "fast", "short", 0.25}};
  language::Delta delta;
  delta.content = "Hi";
  agent::TaskResult done;
  done.id = 7;
  done.agent = "dev-1";
  done.route = started.route;
  done.message.content = "Hi";
  done.finish_reason = "stop";
  done.usage = {11, 4, 3};
  done.total = std::chrono::microseconds(1500);
  EXPECT_EQ(format.started(0, started) + format.delta(0, delta) + format.finished(0, done), R"(event: started
data: {"id":7,"route":{"model":"tiny","tier":"fast","reason":"short","complexity":0.25}}

event: delta
data: {"content":"Hi"}

event: finished
data: {"id":7,"agent":"dev-1","route":{"model":"tiny","tier":"fast","reason":"short","complexity":0.25},"message":{"role":"assistant","content":"Hi","refusal":null},"finish_reason":"stop","usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":4}},"seed":0,"attempts":1,"queued_ms":0,"load_ms":0,"prefill_ms":0,"decode_ms":0,"total_ms":1.5}

)");
  EXPECT_EQ(format.broken({{ErrorCode::unavailable, "gone", ""}, ""}),
            "event: failed\ndata: {\"error\":\"gone\",\"code\":\"unavailable\"}\n\n");
}

TEST(ControlViews, ShowsSystemPromptsOfOneAgentOnly) {
  AgentView agent;
  agent.name = "dev-1";
  agent.system_prompt = "You write code.";
  EXPECT_EQ(control_agents({agent}).find("You write"), std::string::npos);
  EXPECT_NE(control_agent(agent).find("You write"), std::string::npos);
}

TEST(ControlViews, ExplainsARoute) {
  Backend::Route route;
  route.decision = {"tiny", "fast", "short", 0.25};
  route.factors = {{"length", 0.5}};
  route.weights = {{"length", 1}};
  route.explanation = "because";
  route.took = std::chrono::microseconds(12);
  EXPECT_EQ(control_route(route), R"({"model":"tiny","tier":"fast","reason":"short","complexity":0.25,)"
                                  R"("factors":{"length":0.5},"weights":{"length":1},"explanation":"because",)"
                                  R"("took_ms":0.012})");
}

}  // namespace
}  // namespace skep::api::wire
