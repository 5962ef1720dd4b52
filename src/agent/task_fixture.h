#pragma once
// A dispatcher over a fake engine, for tests of what stands in front of it. The test answers by hand.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/cached_tasks.h"
#include "agent/dispatcher.h"
#include "base/simulated_event_loop.h"
#include "model/fake_engine.h"

namespace skep::agent {

class TextReader final : public AnswerReader {
 public:
  language::Delta feed(std::string_view text) override {
    language::Delta delta;
    delta.content = text;
    return delta;
  }
  language::Delta finish() override { return {}; }
};

// Everything goes to the model "m": the request's messages, temperature, seed and adapter as they are; a seed that is
// not given is drawn.
class PlainPlanner final : public Planner {
 public:
  Result<Plan> plan(const TaskRequest& request) override {
    Plan plan;
    plan.route.model = "m";
    for (const auto& message : request.input.messages)
      plan.generate.messages.push_back({message.role, message.content});
    plan.generate.sampling.temperature = request.input.overrides.temperature.value_or(0.7F);
    plan.generate.sampling.seed = request.input.overrides.seed.value_or(++drawn_);
    plan.generate.adapter = request.adapter;
    plan.generate.logprobs = request.input.overrides.logprobs;
    plan.agent = request.agent;
    plan.reader = [] { return std::make_unique<TextReader>(); };
    return plan;
  }

 private:
  uint32_t drawn_ = 1000;
};

struct Hearing final : TaskListener {
  void started(const TaskStarted& event) override {
    ++starts;
    note = event.cache;
  }
  void delta(const language::Delta& delta) override {
    text += delta.content;
    ++deltas;
  }
  void finished(const TaskResult& result) override {
    ++ends;
    done = result;
  }
  void failed(const TaskFailure& f) override {
    ++ends;
    failure = f;
  }
  int starts = 0, deltas = 0, ends = 0;
  std::string text;
  CacheNote note;
  std::optional<TaskResult> done;
  std::optional<TaskFailure> failure;
};

class TaskFixture : public ::testing::Test {
 protected:
  TaskFixture() {
    factory.scripts["m"].memory = {{"host", 100_MiB, 10_MiB, 10_MiB}};
    engine::LoadOptions options;
    options.path = "m";
    options.sequences = 4;
    residency.define("m", {&factory, options, {}, false});
    residency.on_event([this](const model::ResidencyEvent&) { dispatcher.wake(); });
  }
  static model::ResidencyOptions residency_options() {
    model::ResidencyOptions options;
    options.budgets = {{"host", 1_GiB}};
    options.daemon_reserve = Bytes(0);
    return options;
  }
  static TaskRequest question(const std::string& text) {
    TaskRequest request;
    request.input.messages.push_back({"user", text, "", {}, "", ""});
    request.input.overrides.temperature = 0.0F;
    return request;
  }
  // Time for a model to load.
  void settle() { loop.advance(std::chrono::seconds(2)); }
  [[nodiscard]] size_t generating() const {
    auto* engine = factory.alive("m");
    return engine == nullptr ? 0 : engine->running.size();
  }
  std::string prompt() {  // the last message of the oldest generation
    return factory.alive("m")->running.begin()->second.request.messages.back().content;
  }
  // Answers the oldest generation.
  void answer(const std::string& text) {
    auto& engine = *factory.alive("m");
    auto request = engine.running.begin()->first;
    engine.say(request, text);
    engine::Finished finished;
    finished.usage = {10, 0, 1};
    engine.finish(request, finished);
    loop.run_ready();
  }

  SimulatedEventLoop loop;
  model::FakeFactory factory{loop};
  model::Residency residency{loop, residency_options()};
  PlainPlanner planner;
  Dispatcher dispatcher{loop, residency, planner, {}};
};

}  // namespace skep::agent
