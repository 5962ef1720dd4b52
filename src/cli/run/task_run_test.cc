#include "cli/run/task_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/simulated_event_loop.h"
#include "cli/run/run_summary.h"

namespace skep::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

// A service that only takes tasks; the test ends them.
class TaskBackend final : public api::TaskService {
 public:
  agent::TaskId submit(agent::TaskRequest request, std::shared_ptr<agent::TaskListener> listener) override {
    agent::TaskId id = ++last;
    asked.emplace(id, request.input.messages.back().content);
    sent_to.emplace(id, request.model);
    listeners.emplace(id, std::move(listener));
    most = std::max(most, listeners.size());
    return id;
  }
  void cancel(agent::TaskId id) override {
    listeners.erase(id);
    ++cancelled;
  }
  void finish(agent::TaskId id) {
    auto node = listeners.extract(id);
    agent::TaskResult result;
    result.id = id;
    result.message.content = "answer to " + asked[id];
    result.usage = {10, 5, 3};
    result.route = {"m", "fast", "because", 0};
    result.total = 2s;
    node.mapped()->finished(result);
  }
  void fail_with(agent::TaskId id, ErrorCode code, std::optional<Duration> retry = {}) {
    auto node = listeners.extract(id);
    node.mapped()->failed({id, {code, "no", {}}, retry});
  }

  std::vector<api::RunningModel> running() const override { return {}; }
  api::ResourceUsage resources() const override { return {}; }
  api::PerformanceReport performance() const override { return {}; }

  std::map<agent::TaskId, std::shared_ptr<agent::TaskListener>> listeners;
  std::map<agent::TaskId, std::string> asked, sent_to;
  agent::TaskId last = 0;
  size_t most = 0;
  int cancelled = 0;
};

class TaskRunTest : public ::testing::Test {
 protected:
  TaskRunTest() : folder(fs::temp_directory_path() / fmt::format("skep-task-run-{}", getpid())) {
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  ~TaskRunTest() override { fs::remove_all(folder); }

  std::string input(int tasks) {
    std::ofstream file(folder / "tasks.jsonl");
    for (int i = 1; i <= tasks; ++i)
      file << fmt::format("{{\"id\":\"t{}\",\"agent\":\"a\",\"input\":\"q{}\"}}\n", i, i);
    return (folder / "tasks.jsonl").string();
  }
  std::string write(const std::string& text) {
    std::ofstream(folder / "tasks.jsonl") << text;
    return (folder / "tasks.jsonl").string();
  }
  std::string results_path() { return (folder / "results.jsonl").string(); }

  // Runs a file until the run says it is done; `each` is called after every round with what is under way.
  TaskRunCounts play(const std::string& path, TaskRunOptions options, const std::function<void(TaskRun&)>& each) {
    auto tasks = TaskFile::open(path);
    auto results = ResultFile::open(results_path(), false);
    EXPECT_TRUE(tasks && results);
    TaskRun run(loop, backend, *tasks, *results, options);
    bool done = false;
    run.start([&](Status status) {
      done = true;
      outcome = std::move(status);
    });
    for (int i = 0; i < 10'000 && !done; ++i) {
      loop.advance(10ms);
      if (!done) each(run);
    }
    EXPECT_TRUE(done);
    return run.counts();
  }
  std::function<void(TaskRun&)> finish_one() {
    return [this](TaskRun&) {
      if (!backend.listeners.empty()) backend.finish(backend.listeners.begin()->first);
    };
  }
  std::vector<json::object> lines() {
    std::vector<json::object> all;
    std::ifstream file(results_path());
    for (std::string line; std::getline(file, line);) all.push_back(json::parse(line).as_object());
    return all;
  }

  fs::path folder;
  SimulatedEventLoop loop;
  TaskBackend backend;
  Status outcome;
};

TEST_F(TaskRunTest, EveryTaskGetsOneResultAndTheWindowHolds) {
  auto counts = play(input(50), {.window = 8}, finish_one());
  EXPECT_EQ(counts.finished, 50);
  EXPECT_LE(backend.most, 8U);
  std::set<std::string> ids;
  for (const auto& line : lines()) {
    ids.insert(line.at("id").as_string().c_str());
    EXPECT_THAT(line.at("output").as_string().c_str(), HasSubstr("answer to q"));
  }
  EXPECT_EQ(ids.size(), 50U);
}

TEST_F(TaskRunTest, CountsWhatThisRunDidByTierAndModel) {
  auto tasks = TaskFile::open(input(3));
  auto results = ResultFile::open(results_path(), false);
  TaskRun run(loop, backend, *tasks, *results, {});
  bool done = false;
  run.start([&](const Status&) { done = true; });
  loop.advance(10ms);
  backend.listeners.at(1)->started({1, {"m", "fast", "because", 0}});
  loop.advance(490ms);
  backend.listeners.at(1)->delta({});
  backend.finish(1);
  backend.finish(2);
  backend.listeners.at(3)->started({3, {"m", "fast", "because", 0}});
  backend.fail_with(3, ErrorCode::deadline_exceeded);
  loop.advance(10ms);
  ASSERT_TRUE(done);
  const auto& fast = run.statistics().tiers().at("fast");
  EXPECT_EQ(fast.finished, 2);
  EXPECT_EQ(fast.failed, 1);
  EXPECT_EQ(fast.prompt_tokens, 20);
  EXPECT_EQ(run.statistics().models().at("m").completion_tokens, 6);
  EXPECT_NEAR(seconds(fast.first_token.quantile(0)), 0.5, 0.03);  // the first; the second said nothing before its end
  EXPECT_NEAR(seconds(fast.first_token.quantile(1)), 2, 0.1);
}

TEST_F(TaskRunTest, TheSummarySaysWhatTheEnginesOfATierTook) {
  RunSummary summary;
  summary.counts = play(input(2), {}, finish_one());
  summary.counts.models_of_tier["deep"] = {"m", "n"};
  summary.memory_of_model = {{"m", 3_MiB}, {"n", 40_MiB}, {"unused", 500_MiB}};
  summary.performance.tiers = {{.name = "fast"}, {.name = "deep"}, {.name = "balanced"}};
  summary.performance.models = {{.name = "n"}};
  const json::object out = to_json(summary);
  const auto memory = [&](const char* rows, size_t i) {
    return Bytes(out.at(rows).as_array().at(i).at("memory_bytes").to_number<int64_t>());
  };
  EXPECT_EQ(memory("tiers", 0), 3_MiB);  // the model that answered, not every model there is
  EXPECT_EQ(memory("tiers", 1), 43_MiB);
  EXPECT_EQ(memory("tiers", 2), Bytes(0));
  EXPECT_EQ(memory("models", 0), 40_MiB);
}

TEST_F(TaskRunTest, ABrokenLineIsReportedWithItsNumberAndSkipped) {
  auto counts = play(write("{\"input\":\"a\"}\nnot "
                           "json\n\n{\"agent\":\"x\"}\n{\"input\":\"b\",\"priority\":\"soon\"}\n{\"input\":\"c\"}\n"),
                     {}, [&](TaskRun& run) {
                       EXPECT_EQ(run.complaints().size(), 3U);
                       EXPECT_THAT(run.complaints()[0], HasSubstr("tasks.jsonl:2"));
                       EXPECT_THAT(run.complaints()[1], HasSubstr("tasks.jsonl:4"));
                       EXPECT_THAT(run.complaints()[2], HasSubstr("priority"));
                       finish_one()(run);
                     });
  EXPECT_EQ(counts.finished, 2);
  EXPECT_EQ(counts.broken, 3);
  EXPECT_EQ(lines()[1].at("id").as_string(), "line-6");
}

TEST_F(TaskRunTest, AZeroByteBreaksItsOwnLineOnly) {
  using namespace std::string_literals;
  auto counts = play(write("{\"input\":\"a\"}\n{\"input\":\"b\0\"}\n{\"input\":\"c\"}\n"s), {}, finish_one());
  EXPECT_EQ(counts.broken, 1);
  EXPECT_EQ(counts.finished, 2);
  EXPECT_EQ(lines()[1].at("id").as_string(), "line-3");
}

TEST_F(TaskRunTest, ALineThatIsTooLongIsReadPast) {
  auto counts =
      play(write("{\"input\":\"" + std::string(9 << 20, 'x') + "\"}\n{\"input\":\"b\"}\n"), {}, [&](TaskRun& run) {
        EXPECT_THAT(run.complaints()[0], HasSubstr("8 MiB"));
        finish_one()(run);
      });
  EXPECT_EQ(counts.broken, 1);
  EXPECT_EQ(counts.finished, 1);
}

TEST_F(TaskRunTest, KnownAnswersAreCountedByTierAndSteps) {
  auto counts = play(write("{\"input\":\"a\",\"answer\":\"answer to a\",\"steps\":1}\n"
                           "{\"input\":\"b\",\"answer\":\"something else\",\"steps\":1}\n"
                           "{\"input\":\"c\",\"answer\":\"answer to c\",\"steps\":2}\n{\"input\":\"d\"}\n"),
                     {}, finish_one());
  EXPECT_EQ(counts.accuracy.graded, 3);
  EXPECT_EQ(counts.accuracy.right, 2);
  ASSERT_EQ(counts.by_tier_and_steps.size(), 1U);
  const auto& tier = counts.by_tier_and_steps.begin()->second;
  EXPECT_EQ(tier.at(1).graded, 2);
  EXPECT_EQ(tier.at(1).right, 1);
  EXPECT_EQ(tier.at(2).right, 1);
  EXPECT_FALSE(lines()[1].at("right").as_bool());
  EXPECT_FALSE(lines()[3].contains("right"));
}

TEST_F(TaskRunTest, ARunMaySendEverythingToOneModel) {
  play(write("{\"input\":\"a\",\"model\":\"fast\"}\n"), {.model = "deep"}, [&](TaskRun& run) {
    EXPECT_EQ(backend.sent_to.begin()->second, "deep");
    finish_one()(run);
  });
}

TEST_F(TaskRunTest, StrictStopsAtTheFirstBrokenLine) {
  play(write("{\"input\":\"a\"}\nnot json\n{\"input\":\"c\"}\n"), {.strict = true}, finish_one());
  ASSERT_FALSE(outcome.has_value());
  EXPECT_THAT(outcome.error().message, HasSubstr("tasks.jsonl:2"));
}

TEST_F(TaskRunTest, AnInterruptedRunIsResumedWithoutRepeatingOrLosingOne) {
  std::string path = input(40);
  int rounds = 0;
  auto first = play(path, {.window = 8}, [&](TaskRun& run) {
    if (++rounds == 10) {
      backend.listeners.begin()->second->started({});  // one runs, the others wait
      run.interrupt();
    }
    finish_one()(run);
  });
  EXPECT_GT(first.finished, 5);
  EXPECT_LT(first.finished, 40);
  EXPECT_GT(backend.cancelled, 0);
  auto second = play(path, {.window = 8}, finish_one());
  EXPECT_EQ(second.skipped, first.finished);
  EXPECT_EQ(first.finished + second.finished, 40);
  std::multiset<std::string> ids;
  for (const auto& line : lines()) ids.insert(line.at("id").as_string().c_str());
  EXPECT_EQ(ids.size(), 40U);
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 40U);
}

TEST_F(TaskRunTest, ATornLastLineIsCutOffAndItsTaskRunsAgain) {
  std::string path = input(3);
  play(path, {}, finish_one());
  fs::resize_file(results_path(), fs::file_size(results_path()) - 5);
  auto again = play(path, {}, finish_one());
  EXPECT_EQ(again.skipped, 2);
  EXPECT_EQ(again.finished, 1);
  EXPECT_EQ(lines().size(), 3U);
}

TEST_F(TaskRunTest, WhatIsRefusedAsTooMuchIsOfferedAgain) {
  int refused = 0;
  auto counts = play(input(5), {}, [&](TaskRun& run) {
    if (refused < 3 && !backend.listeners.empty()) {
      ++refused;
      backend.fail_with(backend.listeners.begin()->first, ErrorCode::overloaded, 100ms);
    } else {
      finish_one()(run);
    }
  });
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(counts.finished, 5);
  EXPECT_EQ(counts.failed, 0);
}

TEST_F(TaskRunTest, WhatIsRefusedAfterTheRunWasInterruptedIsTakenBack) {
  const std::string path = input(2);
  int rounds = 0;
  auto first = play(path, {}, [&](TaskRun& run) {
    if (++rounds == 1) {
      for (auto& [id, listener] : backend.listeners) listener->started({});
      run.interrupt();
    } else if (!backend.listeners.empty()) {
      backend.fail_with(backend.listeners.begin()->first, ErrorCode::overloaded, 100ms);
    }
  });
  EXPECT_TRUE(outcome) << "and not for ever under way";
  EXPECT_EQ(first.submitted, 0);
  EXPECT_EQ(first.failed, 0);
  EXPECT_EQ(play(path, {}, finish_one()).finished, 2);
}

TEST_F(TaskRunTest, AFailedTaskIsAResultAndRetryFailedDoesItAgain) {
  std::string path = input(2);
  bool failed = false;
  auto counts = play(path, {}, [&](TaskRun& run) {
    if (!failed && !backend.listeners.empty()) {
      failed = true;
      backend.fail_with(backend.listeners.begin()->first, ErrorCode::deadline_exceeded);
    } else {
      finish_one()(run);
    }
  });
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(lines()[0].at("error").at("code").as_string(), "deadline_exceeded");
  auto same = ResultFile::open(results_path(), false);
  EXPECT_TRUE(same->done(1));
  auto retry = ResultFile::open(results_path(), true);
  EXPECT_FALSE(retry->done(1));
  EXPECT_TRUE(retry->done(2));
}

TEST_F(TaskRunTest, AForeignResultFileIsRefused) {
  std::ofstream(results_path()) << "{\"something\": \"else\"}\n";
  auto results = ResultFile::open(results_path(), false);
  ASSERT_FALSE(results.has_value());
  EXPECT_EQ(results.error().code, ErrorCode::conflict);
}

TEST_F(TaskRunTest, AMissingFileSaysSo) {
  auto tasks = TaskFile::open((folder / "nothing.jsonl").string());
  ASSERT_FALSE(tasks.has_value());
  EXPECT_EQ(tasks.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace skep::cli
