#include "model/worker_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/asio_event_loop.h"
#include "model/residency.h"

namespace skep::model {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Heard final : GenerationListener {
  void piece(engine::Piece piece) override {
    text += piece.text;
    if (auto call = on_piece) call();  // a copy: it may replace itself
  }
  void finished(const engine::Finished& how) override { end = how; }
  void failed(const Error& why) override { error = why; }
  [[nodiscard]] bool over() const { return end || error; }
  std::string text;
  std::optional<engine::Finished> end;
  std::optional<Error> error;
  std::function<void()> on_piece;
};

// Real processes in real time: limits are short where a test waits for one, and generous where it must not be hit.
class WorkerEngineTest : public ::testing::Test {
 protected:
  WorkerEngineTest() {
    folder_ = std::filesystem::path(::testing::TempDir()) / fmt::format("skep_worker_{}", ::getpid());
    std::filesystem::create_directories(folder_);
    options_.executable = SKEP_FAKE_WORKER;
    options_.silence = options_.load_silence = 60s;
    options_.farewell = options_.stop_grace = 200ms;
    options_.memory_poll = 20ms;
  }
  ~WorkerEngineTest() override {
    engines_.clear();
    run_until([] { return ::waitpid(-1, nullptr, WNOHANG) < 0; });
    std::filesystem::remove_all(folder_);
  }

  engine::LoadOptions script(const std::string& text, const std::string& name = "model") {
    std::string path = (folder_ / name).string();
    std::ofstream(path) << "weights 1000\ntokens 3\n" << text << "\n";
    return {.path = path, .threads = 2};
  }
  bool run_until(const std::function<bool()>& done) {
    auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_.context().restart();
      loop_.context().run_one_for(10ms);
    }
    return true;
  }
  Result<Engine*> start(const std::string& text) {
    if (!factory_) factory_ = std::make_unique<WorkerFactory>(loop_, options_);
    std::optional<Result<std::unique_ptr<Engine>>> answer;
    factory_->start(script(text), [&](auto result) { answer = std::move(result); });
    EXPECT_FALSE(answer) << "answered from inside the call";
    if (!run_until([&] { return answer.has_value(); })) return fail(ErrorCode::deadline_exceeded, "no answer");
    if (!*answer) return fail(answer->error());
    engines_.push_back(std::move(**answer));
    engines_.back()->on_death([this](const Error& error) { death_ = error; });
    return engines_.back().get();
  }
  // The error that a generation ends with, and that on_death tells.
  Error fails_with(const std::string& text) {
    auto engine = start(text);
    if (!engine) return engine.error();
    Heard heard;
    (*engine)->generate({.prompt = "x"}, heard);
    EXPECT_TRUE(run_until([&] { return death_.has_value(); }));
    EXPECT_TRUE(heard.error) << "its listener was not told before";
    text_ = heard.text;
    EXPECT_EQ(heard.error.value_or(Error{}).message, death_.value_or(Error{}).message);
    EXPECT_LT(::kill((*engine)->process_id(), 0), 0) << "the process is still there, or not reaped";
    return heard.error.value_or(Error{});
  }

  AsioEventLoop loop_;
  WorkerOptions options_;
  std::filesystem::path folder_;
  std::unique_ptr<WorkerFactory> factory_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::optional<Error> death_;
  std::string text_;
};

TEST_F(WorkerEngineTest, StreamsAnswersOfManyGenerations) {
  auto engine = start("tokens 5");
  ASSERT_TRUE(engine) << engine.error().text();
  std::vector<Heard> heard(40);
  for (Heard& each : heard) (*engine)->generate({.prompt = "x"}, each);
  ASSERT_TRUE(run_until([&] { return std::ranges::all_of(heard, &Heard::over); }));
  for (Heard& each : heard) {
    EXPECT_EQ(each.text, "w1 w2 w3 w4 w5 ");
    EXPECT_EQ(each.end->usage.completion_tokens, 5);
  }
}

TEST_F(WorkerEngineTest, EmbedsAndTokenizes) {
  auto engine = start("");
  std::optional<engine::Embeddings> embeddings;
  std::optional<engine::Scores> scores;
  (*engine)->score({.text = "abc"}, [&](auto result) { scores = result.value(); });
  std::optional<engine::Tokens> tokens;
  (*engine)->embed({.inputs = {"four", "sixsix"}}, [&](auto result) { embeddings = result.value(); });
  (*engine)->tokenize({.text = "AB"}, [&](auto result) { tokens = result.value(); });
  ASSERT_TRUE(run_until([&] { return embeddings && tokens && scores; }));
  EXPECT_EQ(scores->tokens.size(), 3U);
  EXPECT_EQ(embeddings->vectors[1][0], 6);
  EXPECT_EQ(tokens->tokens, (std::vector<engine::Token>{65, 66}));
}

TEST_F(WorkerEngineTest, CancelledEmbeddingsAreNotHeardOf) {
  auto engine = start("");
  auto id = (*engine)->embed({.inputs = {"four"}}, [](auto) { ADD_FAILURE() << "was cancelled"; });
  (*engine)->cancel(id);
  bool answered = false;
  (*engine)->embed({.inputs = {"six"}}, [&](auto) { answered = true; });
  EXPECT_TRUE(run_until([&] { return answered; }));
}

TEST_F(WorkerEngineTest, StartsTheProcessAsAGoodNeighbour) {
  auto engine = start("");
  EXPECT_EQ((*engine)->loaded().chat_template, "spin=1000 threads=2 own_group=1 death_signal=9");
  std::ifstream file(fmt::format("/proc/{}/oom_score_adj", (*engine)->process_id()));
  int adjustment = 0;
  file >> adjustment;
  EXPECT_GE(adjustment, 500);
  // Nothing of ours but the socket, the output pipe and /dev/null.
  size_t descriptors = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", (*engine)->process_id())))
    ++descriptors;
  EXPECT_EQ(descriptors, 4U);
}

TEST_F(WorkerEngineTest, CancelledGenerationsAreNotHeardOfAgain) {
  auto engine = start("tokens 1000000\ntoken_ms 1");
  Heard cancelled, other;
  auto id = (*engine)->generate({}, cancelled);
  cancelled.on_piece = [&] {
    cancelled.on_piece = nullptr;
    (*engine)->cancel(id);
    cancelled.text = "cancelled";
    (*engine)->generate({}, other);
  };
  ASSERT_TRUE(run_until([&] { return other.text.size() > 100; }));
  EXPECT_EQ(cancelled.text, "cancelled");
  EXPECT_FALSE(cancelled.over());
}

TEST_F(WorkerEngineTest, AKilledWorkerFailsItsGenerationsAndNoOtherEngine) {
  auto other = start("tokens 5");
  Error error = fails_with("tokens 10\nkill_after 2");
  EXPECT_EQ(error.code, ErrorCode::unavailable);
  EXPECT_THAT(error.message, HasSubstr("was killed by signal 9 (SIGKILL)"));
  EXPECT_EQ(text_, "w1 w2 ");
  Heard heard;
  (*other)->generate({}, heard);
  ASSERT_TRUE(run_until([&] { return heard.over(); }));
  EXPECT_TRUE(heard.end);
}

TEST_F(WorkerEngineTest, SaysHowItExitedAndWhatItWroteLast) {
  Error error = fails_with("exit_after 1\nsay ggml: out of buffers\x1b[31m!");
  EXPECT_THAT(error.message, HasSubstr("exited with code 3"));
  EXPECT_THAT(error.message, HasSubstr("it last wrote: ggml: out of buffers [31m!"));
}

TEST_F(WorkerEngineTest, PassesOnAWorkersLastWord) {
  EXPECT_EQ(fails_with("last_word_after 1").message, "the GPU is gone");
}

TEST_F(WorkerEngineTest, KillsAWorkerThatHangs) {
  options_.silence = 400ms;
  EXPECT_THAT(fails_with("hang_after 1").message, HasSubstr("said nothing for"));
}

TEST_F(WorkerEngineTest, AWorkingButQuietWorkerIsNotTakenForAHungOne) {
  options_.silence = 500ms;
  auto engine = start("tokens 3");
  auto until = std::chrono::steady_clock::now() + 1500ms;  // heartbeats come meanwhile
  run_until([&] { return std::chrono::steady_clock::now() > until; });
  EXPECT_FALSE(death_);
}

TEST_F(WorkerEngineTest, KillsAWorkerThatSendsGarbage) {
  EXPECT_THAT(fails_with("garbage_after 1").message, HasSubstr("not the protocol"));
}

TEST_F(WorkerEngineTest, KillsAWorkerThatHangsUpButLives) {
  EXPECT_EQ(fails_with("hang_up_after 1").code, ErrorCode::unavailable);
}

TEST_F(WorkerEngineTest, KillsAWorkerThatTakesMoreMemoryThanItMay) {
  options_.overhead = 8_MiB;
  options_.memory_slack = 16_MiB;
  Error error = fails_with("tokens 1000000\ntoken_ms 5\neat 100000000");
  EXPECT_EQ(error.code, ErrorCode::unavailable);
  EXPECT_THAT(error.message, HasSubstr("of memory"));
  EXPECT_FALSE(error.hint.empty());
}

TEST_F(WorkerEngineTest, MeasuresTheMemoryOfItsProcess) {
  auto engine = start("tokens 1000000\ntoken_ms 5\neat 50000000");
  Heard heard;
  (*engine)->generate({}, heard);
  EXPECT_TRUE(run_until([&] { return (*engine)->resident_memory() > 40_MiB; }));
  EXPECT_FALSE(heard.over());
}

TEST_F(WorkerEngineTest, AWorkerThatDiesWhileLoadingIsAnError) {
  EXPECT_THAT(start("exit_on_load 7").error().message, HasSubstr("exited with code 7"));
  EXPECT_THAT(start("abort_on_load 1").error().message, HasSubstr("SIGABRT"));
  EXPECT_EQ(start("fail_load not a GGUF file").error().code, ErrorCode::corrupt);
}

TEST_F(WorkerEngineTest, AWorkerThatHangsWhileLoadingIsKilled) {
  options_.load_silence = 300ms;
  EXPECT_THAT(start("hang_on_load 1").error().message, HasSubstr("said nothing for"));
}

TEST_F(WorkerEngineTest, AMissingProgramOrModelIsAnError) {
  options_.executable = "/nowhere/skep";
  EXPECT_THAT(start("").error().message, HasSubstr("'/nowhere/skep' can't be executed"));
  std::optional<Error> error;
  factory_->measure({.path = "/nowhere.gguf"}, [&](auto result) { error = result.error(); });
  ASSERT_TRUE(run_until([&] { return error.has_value(); }));
  EXPECT_EQ(error->code, ErrorCode::not_found);
}

TEST_F(WorkerEngineTest, StopsInOrderAndTellsWhenTheProcessIsGone) {
  auto engine = start("tokens 1000000\ntoken_ms 1");
  Heard heard;
  (*engine)->generate({}, heard);
  bool gone = false;
  int pid = (*engine)->process_id();
  (*engine)->stop([&] { gone = true; });
  EXPECT_TRUE(heard.error) << "what still ran is failed";
  EXPECT_FALSE(gone);
  ASSERT_TRUE(run_until([&] { return gone; }));
  EXPECT_LT(::kill(pid, 0), 0);
  EXPECT_FALSE(death_) << "it did not die on its own";
}

TEST_F(WorkerEngineTest, StopsAWorkerThatDoesNotListen) {
  auto engine = start("deaf 1");
  bool gone = false;
  (*engine)->stop([&] { gone = true; });
  EXPECT_TRUE(run_until([&] { return gone; }));
}

TEST_F(WorkerEngineTest, RefusesMoreThanAWorkerTakes) {
  options_.most_requests = 10;
  options_.most_unsent = 1_MiB;
  auto engine = start("deaf 1");
  std::vector<Heard> heard(12);
  for (size_t i = 0; i < heard.size(); ++i) (*engine)->generate({}, heard[i]);
  EXPECT_FALSE(heard.back().over()) << "told from inside the call";
  ASSERT_TRUE(run_until([&] { return heard[10].over() && heard[11].over(); }));
  EXPECT_EQ(heard[11].error->code, ErrorCode::overloaded);
  EXPECT_FALSE(heard[9].over());
  engines_.clear();

  factory_.reset();
  options_.most_requests = 1000;
  engine = start("deaf 1");
  std::vector<Heard> large(8);
  for (Heard& each : large) (*engine)->generate({.prompt = std::string(600'000, 'x')}, each);
  ASSERT_TRUE(run_until([&] { return large.back().over(); }));
  EXPECT_EQ(large.back().error->code, ErrorCode::overloaded);
}

TEST_F(WorkerEngineTest, DestroyingTheEngineInACallbackIsFine) {
  auto engine = start("tokens 1000000");
  Heard heard;
  heard.on_piece = [&] {
    heard.on_piece = nullptr;
    engines_.clear();
  };
  int pid = (*engine)->process_id();
  (*engine)->generate({}, heard);
  EXPECT_TRUE(run_until([&] { return ::kill(pid, 0) < 0; })) << "and its process ends";
  EXPECT_FALSE(heard.over());
}

TEST_F(WorkerEngineTest, MeasuresOnceAsLongAsTheFileIsTheSame) {
  factory_ = std::make_unique<WorkerFactory>(loop_, options_);
  auto measure = [&](const engine::LoadOptions& options) {
    std::optional<Bytes> weights;
    factory_->measure(options, [&](auto result) { weights = result.value().memory.front().weights; });
    EXPECT_TRUE(run_until([&] { return weights.has_value(); }));
    return weights.value_or(Bytes(0));
  };
  engine::LoadOptions options = script("weights 5000");
  EXPECT_EQ(measure(options), 5000_B);
  EXPECT_EQ(measure(options), 5000_B);
  EXPECT_EQ(std::filesystem::file_size(options.path + ".measured"), 1U);
  options.context_tokens = 77;
  measure(options);
  EXPECT_EQ(std::filesystem::file_size(options.path + ".measured"), 2U);
  options = script("weights 600000");
  EXPECT_EQ(measure(options), 600000_B);
}

TEST_F(WorkerEngineTest, ManyDeathsLeaveNoZombies) {
  for (int i = 0; i < 10; ++i) {
    death_.reset();
    (void)fails_with("exit_after 1");
  }
  EXPECT_LT(::waitpid(-1, nullptr, WNOHANG), 0);
}

// Residency over real processes: killed in mid-generation, the task is retried on a new worker, the book is even.
TEST_F(WorkerEngineTest, ResidencyReplacesAKilledWorkerAndKeepsTheBook) {
  factory_ = std::make_unique<WorkerFactory>(loop_, options_);
  Residency residency(loop_, {.budgets = {{"host", 1_GiB}}, .daemon_reserve = Bytes(0)});
  residency.define("m", {.factory = factory_.get(), .options = script("tokens 1000000\ntoken_ms 1\nweights 1000000")});
  auto get = [&] {
    std::optional<Lease> lease;
    residency.acquire("m", [&](Result<Lease> got) {
      EXPECT_TRUE(got) << got.error().text();
      if (got) lease = std::move(*got);
    });
    EXPECT_TRUE(run_until([&] { return lease.has_value(); }));
    return std::move(*lease);
  };
  Lease first = get();
  EXPECT_EQ(residency.ledger().reserved(), Bytes(1000000) + options_.overhead);
  Heard heard;
  first.engine()->generate({}, heard);
  int pid = first.engine()->process_id();
  ASSERT_TRUE(run_until([&] { return !heard.text.empty(); }));
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(run_until([&] { return heard.error.has_value(); }));
  ASSERT_TRUE(run_until([&] { return first.engine() == nullptr; }));
  EXPECT_EQ(residency.ledger().reserved(), 0_B);
  Lease second = get();
  EXPECT_NE(second.engine()->process_id(), pid);
  bool done = false;
  second.release();
  residency.shut_down([&] { done = true; });
  ASSERT_TRUE(run_until([&] { return done; }));
  EXPECT_EQ(residency.ledger().reserved(), 0_B);
}

}  // namespace
}  // namespace skep::model
