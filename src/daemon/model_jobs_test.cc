// Jobs as real processes: a shell script stands for the tools.

#include "daemon/model_jobs.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

namespace skep::daemon {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using api::ModelJobState;
using ::testing::HasSubstr;

class ModelJobsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "skep_jobs_XXXXXX").string();
    folder_ = fs::canonical(::mkdtemp(name.data()));
    for (const char* file : {"a", "b"}) std::ofstream(folder_ / file) << "x";
  }
  void TearDown() override {
    jobs_.reset();
    run_until([] { return false; }, 50ms);  // what was killed is reaped
    fs::remove_all(folder_);
  }

  // The tool as a script; fd 3 is where progress goes.
  void tool(const std::string& script) {
    const fs::path path = folder_ / "tool";
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    ::chmod(path.c_str(), 0755);
    ModelJobOptions options;
    options.executable = path.string();
    options.folders = {folder_.string()};
    options.most_queued = 2;
    options.most_kept = 4;
    options.memory_retry = 5ms;
    options.book = [this](const std::string& owner, Bytes) -> Result<bool> {
      if (memory_error_) return fail(*memory_error_);
      if (memory_) booked_.push_back(owner);
      return memory_;
    };
    options.unbook = [this](const std::string& owner) { unbooked_.push_back(owner); };
    jobs_ = std::make_unique<RunningModelJobs>(loop_, options);
  }
  api::ModelJobId submit() {
    const auto id = jobs_->start({.tool = "diff", .parameters = {{"old", "a"}, {"new", "b"}, {"output", "d"}}});
    EXPECT_TRUE(id) << id.error().text();
    return id ? *id : 0;
  }
  bool run_until(const std::function<bool()>& done, Duration most = 10s) {
    const auto deadline = std::chrono::steady_clock::now() + most;
    while (!done() && std::chrono::steady_clock::now() < deadline) loop_.context().run_one_for(10ms);
    return done();
  }
  bool reaches(api::ModelJobId id, ModelJobState state) {
    return run_until([&] { return jobs_->find(id)->state == state; });
  }

  fs::path folder_;
  AsioEventLoop loop_{1};
  bool memory_ = true;
  std::optional<Error> memory_error_;
  std::vector<std::string> booked_, unbooked_;
  std::unique_ptr<RunningModelJobs> jobs_;
};

TEST_F(ModelJobsTest, AJobTellsItsProgressAndItsResult) {
  tool(R"(echo '{"stage":"reading","fraction":0.5,"detail":"blk.1"}' >&3
while [ ! -e "$(dirname $0)/go" ]; do sleep 0.01; done
echo '{"result":{"delta_bytes":12}}' >&3)");
  const auto id = submit();
  ASSERT_TRUE(run_until([&] { return jobs_->find(id)->stage == "reading"; }));
  EXPECT_EQ(jobs_->find(id)->state, ModelJobState::running);
  EXPECT_EQ(jobs_->find(id)->fraction, 0.5);
  EXPECT_EQ(jobs_->find(id)->detail, "blk.1");
  std::ofstream(folder_ / "go");
  ASSERT_TRUE(reaches(id, ModelJobState::done));
  EXPECT_EQ(jobs_->find(id)->result, R"({"delta_bytes":12})");
  EXPECT_EQ(booked_, unbooked_);
  EXPECT_EQ(booked_.size(), 1U);
}

TEST_F(ModelJobsTest, AJobGetsItsArgumentsAndALowPriority) {
  tool(R"(echo "{\"result\":{\"arguments\":\"$*\",\"nice\":$(nice)}}" >&3)");
  const auto id = submit();
  ASSERT_TRUE(reaches(id, ModelJobState::done));
  EXPECT_THAT(jobs_->find(id)->result, HasSubstr("model diff --output=" + folder_.string() + "/d " + folder_.string() +
                                                 "/a " + folder_.string() + "/b --json --progress-fd 3"));
  EXPECT_THAT(jobs_->find(id)->result, ::testing::Not(HasSubstr("\"nice\":0}")));
}

TEST_F(ModelJobsTest, AFailureIsTheToolsOwnError) {
  tool(R"(echo '{"error":{"code":"conflict","message":"d exists already","hint":"--force replaces it"}}' >&3; exit 1)");
  const auto id = submit();
  ASSERT_TRUE(reaches(id, ModelJobState::failed));
  EXPECT_EQ(jobs_->find(id)->error->code, ErrorCode::conflict);
  EXPECT_EQ(jobs_->find(id)->error->hint, "--force replaces it");
}

TEST_F(ModelJobsTest, AToolThatDiesIsAnErrorWithWhatItSaidLast) {
  tool("echo 'out of luck' >&2; kill -9 $$");
  const auto id = submit();
  ASSERT_TRUE(reaches(id, ModelJobState::failed));
  EXPECT_THAT(jobs_->find(id)->error->message, HasSubstr("SIGKILL"));
  EXPECT_THAT(jobs_->find(id)->error->message, HasSubstr("out of luck"));
}

TEST_F(ModelJobsTest, AToolThatDoesNotLikeItsArgumentsIsTheCallersError) {
  tool("echo '--ratio: 7 not in range' >&2; exit 2");
  const auto id = submit();
  ASSERT_TRUE(reaches(id, ModelJobState::failed));
  EXPECT_EQ(jobs_->find(id)->error->code, ErrorCode::invalid_argument);
  EXPECT_THAT(jobs_->find(id)->error->message, HasSubstr("--ratio"));
}

TEST_F(ModelJobsTest, AJobCanNotTakeMuchMoreThanIsBookedForIt) {
  tool(R"(echo "{\"result\":$(ulimit -d)}" >&3)");
  const auto id = submit();
  ASSERT_TRUE(reaches(id, ModelJobState::done));
  const Bytes limit = Bytes(std::stoll(jobs_->find(id)->result) * 1024);
  EXPECT_GE(limit, jobs_->find(id)->memory);
  EXPECT_LE(limit, jobs_->find(id)->memory + Bytes(static_cast<int64_t>(std::thread::hardware_concurrency()) << 25));
}

TEST_F(ModelJobsTest, OneRunsAtATimeAndAQueueHasAnEnd) {
  tool("sleep 30");
  const auto first = submit();
  ASSERT_TRUE(reaches(first, ModelJobState::running));
  const auto second = submit(), third = submit();
  const auto refused = jobs_->start({.tool = "diff", .parameters = {{"old", "a"}, {"new", "b"}, {"output", "d"}}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::overloaded);
  ASSERT_TRUE(jobs_->cancel(second));
  EXPECT_EQ(jobs_->find(second)->state, ModelJobState::cancelled);
  ASSERT_TRUE(jobs_->cancel(first));
  ASSERT_TRUE(reaches(first, ModelJobState::cancelled));
  ASSERT_TRUE(reaches(third, ModelJobState::running));
  EXPECT_FALSE(jobs_->cancel(99));
  EXPECT_EQ(jobs_->list().size(), 3U);
  EXPECT_EQ(jobs_->list().front().id, third);
}

TEST_F(ModelJobsTest, AJobWaitsForItsMemory) {
  memory_ = false;
  tool("exit 0");
  const auto id = submit();
  ASSERT_TRUE(run_until([&] { return jobs_->find(id)->stage == "waiting"; }));
  EXPECT_EQ(jobs_->find(id)->state, ModelJobState::queued);
  memory_ = true;
  ASSERT_TRUE(reaches(id, ModelJobState::done));
}

TEST_F(ModelJobsTest, AJobWhoseMemoryCanNeverBeHadFails) {
  memory_error_ = Error{ErrorCode::out_of_memory, "too much", {}};
  tool("exit 0");
  const auto id = submit();
  ASSERT_TRUE(reaches(id, ModelJobState::failed));
  EXPECT_EQ(jobs_->find(id)->error->code, ErrorCode::out_of_memory);
}

TEST_F(ModelJobsTest, OnlyTheLatestThatAreOverAreRemembered) {
  tool("exit 0");
  for (int i = 0; i < 8; ++i) {
    const auto id = submit();
    ASSERT_TRUE(reaches(id, ModelJobState::done));
  }
  EXPECT_LE(jobs_->list().size(), 5U);
  EXPECT_FALSE(jobs_->find(1));
}

}  // namespace
}  // namespace skep::daemon
