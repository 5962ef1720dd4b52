// What the client writes the server reads, and the other way round: each test goes through both.

#include "api/wire/control_client.h"

#include <gtest/gtest.h>

#include "api/wire/control_task_format.h"
#include "api/wire/control_task_request.h"
#include "api/wire/control_views.h"

namespace skep::api::wire {
namespace {

TEST(ControlClient, ATaskArrivesAsItWasMeant) {
  agent::TaskRequest task;
  task.agent = "log-triage";
  task.model = "deep";
  task.priority = scheduling::Priority::high;
  task.deadline = std::chrono::milliseconds(1500);
  auto& input = task.input;
  input.task_type = "code";
  input.messages = {{"system", "Be brief.", {}, {}, {}, {}},
                    {"user", "Look.", {}, {}, {}, {}},
                    {"assistant", "", "hm", {{"c1", "look", R"({"at":1})"}}, {}, {}},
                    {"tool", "42", {}, {}, "c1", "look"}};
  input.tools = {{"look", "Looks", R"({"type":"object"})"}};
  input.tool_choice = {language::ToolChoice::Kind::named, "look"};
  input.format = {language::ResponseFormat::Kind::json_schema, R"({"type":"object"})"};
  input.stop = {"END"};
  input.think = false;
  input.overrides.temperature = 0.25F;
  input.overrides.top_k = 7;
  input.overrides.max_tokens = 9;
  input.overrides.seed = 4'000'000'000U;
  input.overrides.ignore_eos = true;

  HttpRequest request;
  request.body = control_task_body(task);
  auto asked = parse_control_task(request);
  ASSERT_TRUE(asked) << asked.error().error.text();
  EXPECT_TRUE(asked->stream);
  const agent::TaskRequest& read = asked->tasks.front();
  EXPECT_EQ(read.agent, task.agent);
  EXPECT_EQ(read.model, task.model);
  EXPECT_EQ(read.priority, task.priority);
  EXPECT_EQ(read.deadline, task.deadline);
  EXPECT_EQ(read.input.task_type, input.task_type);
  EXPECT_EQ(read.input.messages, input.messages);
  ASSERT_EQ(read.input.tools.size(), 1U);
  EXPECT_EQ(read.input.tools[0].parameters, input.tools[0].parameters);
  EXPECT_EQ(read.input.tool_choice.kind, input.tool_choice.kind);
  EXPECT_EQ(read.input.tool_choice.name, "look");
  EXPECT_EQ(read.input.format.kind, input.format.kind);
  EXPECT_EQ(read.input.format.schema, input.format.schema);
  EXPECT_EQ(read.input.stop, input.stop);
  EXPECT_EQ(read.input.think, input.think);
  EXPECT_EQ(read.input.overrides.temperature, input.overrides.temperature);
  EXPECT_EQ(read.input.overrides.top_k, input.overrides.top_k);
  EXPECT_EQ(read.input.overrides.max_tokens, input.overrides.max_tokens);
  EXPECT_EQ(read.input.overrides.seed, input.overrides.seed);
  EXPECT_TRUE(read.input.overrides.ignore_eos);
}

std::string data_of(const std::string& event) {
  size_t begin = event.find("data: ") + 6;
  return event.substr(begin, event.find("\n\n") - begin);
}

TEST(ControlClient, TheEventsOfATaskComeBack) {
  ControlTaskFormat format;
  auto started = read_control_event(data_of(format.started(0, {7, {"m", "fast", "because", 0.5}})));
  ASSERT_TRUE(started);
  EXPECT_EQ(std::get<agent::TaskStarted>(*started).route.reason, "because");

  language::Delta delta;
  delta.content = "Hi";
  delta.tool_calls = {{1, "c1", "look", "{}"}};
  auto said = read_control_event(data_of(format.delta(0, delta)));
  EXPECT_EQ(std::get<language::Delta>(*said).content, "Hi");
  EXPECT_EQ(std::get<language::Delta>(*said).tool_calls.at(0).name, "look");

  agent::TaskResult result;
  result.id = 7;
  result.agent = "a";
  result.route = {"m", "fast", "because", 0.5};
  result.message.content = "Hi";
  result.message.reasoning = "hm";
  result.message.tool_calls = {{"c1", "look", "{}"}};
  result.finish_reason = "stop";
  result.usage = {11, 4, 3};
  result.seed = 5;
  result.attempts = 2;
  result.queued = std::chrono::milliseconds(250);
  result.total = std::chrono::milliseconds(1500);
  auto finished = read_control_event(data_of(format.finished(0, result)));
  const auto& read = std::get<agent::TaskResult>(*finished);
  EXPECT_EQ(read.agent, "a");
  EXPECT_EQ(read.route.model, "m");
  EXPECT_EQ(read.message.content, "Hi");
  EXPECT_EQ(read.message.reasoning, "hm");
  EXPECT_EQ(read.message.tool_calls, result.message.tool_calls);
  EXPECT_EQ(read.usage, result.usage);
  EXPECT_EQ(read.attempts, 2);
  EXPECT_EQ(read.queued, result.queued);
  EXPECT_EQ(read.total, result.total);

  auto failed = read_control_event(data_of(format.broken({{ErrorCode::deadline_exceeded, "late", ""}, ""})));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::deadline_exceeded);
  EXPECT_EQ(failed.error().message, "late");
}

TEST(ControlClient, ErrorsKeepTheirCodeAndOthersServersAreSaidToBeThat) {
  Error ours =
      read_control_error(429, error_body({{ErrorCode::quota_exhausted, "slow down", ""}, ""}, ErrorStyle::control));
  EXPECT_EQ(ours.code, ErrorCode::quota_exhausted);
  EXPECT_EQ(ours.message, "slow down");
  EXPECT_EQ(read_control_error(502, "<html>").code, ErrorCode::unavailable);
}

TEST(ControlClient, ReadsWhatTheViewsWrite) {
  ResourceUsage usage;
  usage.budget = 4_GiB;
  usage.measured = 1_GiB;
  usage.queue_length = 3;
  RunningModel model;
  model.info.name = "m";
  model.state = "ready";
  model.slots = 4;
  model.loads = 2;
  RunningModel large = model;
  large.streamed = {5_GiB, 2_GiB, 1.5e9, 0.5};
  auto resources = read_control_resources(control_resources(usage, {model, large}));
  ASSERT_TRUE(resources);
  EXPECT_EQ(resources->usage.budget, 4_GiB);
  EXPECT_EQ(resources->usage.measured, 1_GiB);
  EXPECT_EQ(resources->usage.queue_length, 3);
  EXPECT_EQ(resources->running.at(0).info.name, "m");
  EXPECT_EQ(resources->running.at(0).loads, 2);
  EXPECT_EQ(resources->running.at(0).streamed, engine::StreamedWeights());
  EXPECT_EQ(resources->running.at(1).streamed, large.streamed);

  PerformanceReport report;
  report.models.emplace_back().name = "m";
  report.models[0].loads = 5;
  auto performance = read_control_performance(control_performance(report));
  ASSERT_TRUE(performance);
  EXPECT_EQ(performance->models.at(0).loads, 5);
  EXPECT_FALSE(read_control_resources("no"));
}

}  // namespace
}  // namespace skep::api::wire
