#include "engine/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <future>

#include "engine/farewell.h"
#include "engine/toy_forward.h"
#include "engine/toy_vocabulary.h"
#include "engine/wire.h"

namespace skep::engine {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

// The daemon's side of a worker that runs the toy on a thread of this process.
class Daemon {
 public:
  explicit Daemon(ToyOptions toy = {}, Error refusal = {ErrorCode::internal, "", ""}) {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fd_ = fds[0];
    const auto load = [toy, refusal](const LoadOptions& options,
                                     const std::function<bool(float)>& progress) -> Result<ReadyModel> {
      if (!refusal.message.empty()) return fail(refusal);
      for (const float f : {0.0F, 0.5F, 1.0F}) {
        if (!progress(f)) return fail(ErrorCode::cancelled, "given up");
      }
      ReadyModel model;
      model.loaded.vocabulary = ToyVocabulary::kSize;
      model.loaded.can_generate = !options.embeddings;
      model.forward = std::make_unique<ToyForward>(toy);
      model.vocabulary = std::make_unique<ToyVocabulary>();
      return model;
    };
    status_ = std::async(std::launch::async, [worker = fds[1], load] { return run_worker(worker, load); });
  }
  ~Daemon() { hang_up(); }

  void send(RequestId id, const Message& message) { write_raw(encode(id, message).value()); }
  void write_raw(const std::string& bytes) {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  // The next message that is no heartbeat. Empty when the worker hung up, or is silent for ten seconds.
  std::optional<std::pair<RequestId, Message>> next(bool heartbeats = false) {
    while (true) {
      auto frame = decoder_.next().value();
      if (!frame) {
        char chunk[4096];
        pollfd p{fd_, POLLIN, 0};
        if (poll(&p, 1, 10'000) <= 0) return std::nullopt;
        const ssize_t n = recv(fd_, chunk, sizeof chunk, 0);
        if (n <= 0) return std::nullopt;
        decoder_.feed({chunk, static_cast<size_t>(n)});
        continue;
      }
      auto message = decode(*frame).value();
      if (heartbeats || !std::holds_alternative<Heartbeat>(message))
        return std::pair(frame->request, std::move(message));
    }
  }
  template <typename T>
  T expect() {
    auto got = next();
    if (!got || !std::holds_alternative<T>(got->second)) {
      ADD_FAILURE() << "another message, or none: " << (got ? static_cast<int>(got->second.index()) : -1);
      return {};
    }
    return std::get<T>(got->second);
  }
  void start(LoadOptions options = {}) {
    EXPECT_EQ(expect<Hello>().version, kWireVersion);
    send(0, Hello{kWireVersion, 0});
    send(0, options);
    for (int i = 0; i < 3; ++i) expect<Progress>();
    expect<Loaded>();
  }
  int status() { return status_.get(); }

 private:
  int fd_ = -1;
  FrameDecoder decoder_;
  std::future<int> status_;
};

Generate prompt(std::string text, int max_tokens) {
  Generate request;
  request.prompt = std::move(text);
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  return request;
}

TEST(Worker, LoadsAnswersAndEndsOnShutdown) {
  Daemon daemon;
  daemon.start();
  daemon.send(7, prompt("hello", 5));
  int tokens = 0;
  while (true) {
    const auto got = daemon.next();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->first, 7U);
    if (const auto* finished = std::get_if<Finished>(&got->second)) {
      EXPECT_EQ(finished->usage.completion_tokens, 5);
      break;
    }
    tokens += std::get<Piece>(got->second).tokens;
  }
  EXPECT_EQ(tokens, 5);
  daemon.send(0, Shutdown{});
  EXPECT_EQ(daemon.status(), 0);
}

TEST(Worker, EndsWhenTheDaemonHangsUp) {
  Daemon daemon;
  daemon.start();
  daemon.send(1, prompt("endless", 200));
  daemon.hang_up();
  EXPECT_EQ(daemon.status(), 0);
}

TEST(Worker, AFailedLoadIsItsLastWord) {
  Daemon daemon({}, {ErrorCode::corrupt, "not a model", ""});
  daemon.expect<Hello>();
  daemon.send(0, Hello{kWireVersion, 0});
  daemon.send(0, LoadOptions{});
  EXPECT_EQ(daemon.expect<Failed>().error.code, ErrorCode::corrupt);
  EXPECT_FALSE(daemon.next());
  EXPECT_EQ(daemon.status(), 1);
}

TEST(Worker, AnotherVersionIsRefused) {
  Daemon daemon;
  daemon.expect<Hello>();
  daemon.send(0, Hello{kWireVersion + 1, 0});
  EXPECT_THAT(daemon.expect<Failed>().error.message, HasSubstr("version"));
  EXPECT_EQ(daemon.status(), 1);
}

TEST(Worker, GarbageOnTheSocketEndsIt) {
  Daemon daemon;
  daemon.start();
  daemon.write_raw(std::string(64, '\xFF'));
  EXPECT_EQ(daemon.status(), 1);
}

TEST(Worker, MeasuringEndsAfterLoaded) {
  Daemon daemon;
  LoadOptions options;
  options.measure_only = true;
  daemon.start(options);
  EXPECT_FALSE(daemon.next());
  EXPECT_EQ(daemon.status(), 0);
}

TEST(Worker, AStepThatHangsIsEndedByShutdown) {
  ToyOptions toy;
  toy.before_step = [](std::span<const Slice>, const std::atomic<bool>& cancelled) -> Status {
    while (!cancelled) std::this_thread::yield();
    return {};
  };
  Daemon daemon(toy);
  daemon.start();
  daemon.send(1, prompt("x", 5));
  daemon.send(0, HeartbeatRequest{});
  EXPECT_TRUE(daemon.next(true)) << "the connection is alive while the step hangs";
  daemon.send(0, Shutdown{});
  EXPECT_EQ(daemon.status(), 0);
}

TEST(Worker, RestsBetweenStepsThatUsedMoreThanTheCeilingAndSaysSo) {
  ToyOptions toy;
  toy.before_step = [](std::span<const Slice>, const std::atomic<bool>&) -> Status {
    const auto spent = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
    for (const double begin = spent(); spent() - begin < 0.005;) {
    }
    return {};
  };
  Daemon daemon(toy);
  LoadOptions options;
  options.cpu_limit = 0.05;
  daemon.start(options);
  daemon.send(1, prompt("hello", 100));
  for (Heartbeat told; told.cpu_rested <= 0;) {
    const auto got = daemon.next(true);
    ASSERT_TRUE(got);
    if (const auto* heartbeat = std::get_if<Heartbeat>(&got->second)) told = *heartbeat;
    EXPECT_TRUE(told.cpu_rested <= 0 || told.cpu_allowed > 0);
  }
  daemon.send(1, Cancel{});
  for (bool over = false; !over;) {
    const auto got = daemon.next();
    ASSERT_TRUE(got);
    over = std::holds_alternative<Finished>(got->second);
  }
}

TEST(Worker, TokenizesAndRefusesWhatTheModelIsNotFor) {
  Daemon daemon;
  daemon.start();
  daemon.send(3, Tokenize{{}, "ab", true});
  EXPECT_EQ(daemon.expect<Tokens>().tokens, (std::vector<Token>{ToyVocabulary::kBegin, 'a', 'b'}));
  daemon.send(4, Embed{{"text"}, {}});
  EXPECT_EQ(daemon.expect<Failed>().error.code, ErrorCode::unsupported);

  Daemon embedder;
  LoadOptions options;
  options.embeddings = true;
  embedder.start(options);
  embedder.send(5, Embed{{"text"}, {{1, 2, 3}}});
  EXPECT_EQ(embedder.expect<Embeddings>().vectors.size(), 2U);
  embedder.send(6, Embed{{}, {{9999}}});
  EXPECT_EQ(embedder.expect<Failed>().error.code, ErrorCode::invalid_argument);
  embedder.send(7, prompt("x", 3));
  EXPECT_EQ(embedder.expect<Failed>().error.code, ErrorCode::unsupported);
}

TEST(Worker, WeightsThatAreNotWhatWasLoadedEndItWithTheReason) {
  ToyOptions toy;
  toy.verify = [parts = 3]() mutable -> Result<bool> {
    if (--parts > 0) return true;
    return fail(ErrorCode::corrupt, "a matrix fails its checksum");
  };
  Daemon daemon(toy);
  daemon.start();
  EXPECT_THAT(daemon.expect<Failed>().error.message, HasSubstr("checksum"));
  EXPECT_FALSE(daemon.next());
  EXPECT_EQ(daemon.status(), 1);
}

TEST(Worker, AnswersComeBeforeWeightsAreVerifiedAndThatHappensOnce) {
  auto calls = std::make_shared<std::atomic<int>>(0);
  ToyOptions toy;
  toy.verify = [calls]() -> Result<bool> { return ++*calls < 5; };
  Daemon daemon(toy);
  daemon.start();
  for (const RequestId id : {1, 2, 3}) {
    daemon.send(id, prompt("hello", 3));
    while (!std::holds_alternative<Finished>(daemon.next().value().second)) {
    }
  }
  daemon.send(0, Shutdown{});
  EXPECT_EQ(daemon.status(), 0);
  EXPECT_LE(*calls, 5);
}

// What a worker parked on disk, and whether the next one uses it.
class ParkedByAWorker : public ::testing::Test {
 protected:
  ParkedByAWorker() {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "m.gguf") << "a model";
    options_.path = (folder_ / "m.gguf").string();
    options_.park_directory = (folder_ / "parked").string();
    options_.park_memory = options_.park_disk = 1_MiB;
  }
  ~ParkedByAWorker() override { std::filesystem::remove_all(folder_); }
  // Of a prompt that is always the same.
  int cached_tokens(const LoadOptions& options, ToyOptions toy = {}) {
    Daemon daemon(std::move(toy));
    daemon.start(options);
    daemon.send(1, prompt("what stays the same in every life", 3));
    for (;;) {
      const auto got = daemon.next();
      if (!got) return -1;
      const auto* finished = std::get_if<Finished>(&got->second);
      if (finished == nullptr) continue;
      daemon.send(0, Shutdown{});
      daemon.status();
      return finished->usage.cached_tokens;
    }
  }
  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / fmt::format("skep-worker-{}", getpid());
  LoadOptions options_;
};

TEST_F(ParkedByAWorker, IsFoundByTheNextAndNotOnceTheModelFileWasChanged) {
  EXPECT_EQ(cached_tokens(options_), 0);
  EXPECT_GT(cached_tokens(options_), 20);
  std::ofstream(options_.path, std::ios::app) << ", changed";
  EXPECT_EQ(cached_tokens(options_), 0);
  options_.model_hash = "the catalog says so";
  EXPECT_EQ(cached_tokens(options_), 0);
}

// A swap: the daemon wants the place for another model while answers are under way.
TEST_F(ParkedByAWorker, EverythingOfAVictimIsParkedHoweverMuchItIs) {
  constexpr int kSequences = 60;
  options_.sequences = kSequences;
  const auto of = [](int i) {
    Generate request =
        prompt(fmt::format("{} is what only this sequence has read: {}", i, std::string(80, 'a' + i % 26)), 3);
    request.ignore_eos = true;
    return request;
  };
  const ToyOptions toy{.sequences = 2 * kSequences, .cells = 20'000};
  {
    Daemon daemon(toy);
    daemon.start(options_);
    for (int i = 0; i < kSequences; ++i) daemon.send(static_cast<RequestId>(i + 1), of(i));
    for (int over = 0; over < kSequences;) {
      const auto got = daemon.next();
      ASSERT_TRUE(got);
      over += std::holds_alternative<Finished>(got->second) ? 1 : 0;
    }
    daemon.send(0, Shutdown{});
    daemon.status();
  }
  Daemon daemon(toy);
  daemon.start(options_);
  for (int i = 0; i < kSequences; ++i) {
    daemon.send(static_cast<RequestId>(i + 1), of(i));
    for (bool over = false; !over;) {
      const auto got = daemon.next();
      ASSERT_TRUE(got);
      const auto* finished = std::get_if<Finished>(&got->second);
      if (finished == nullptr) continue;
      over = true;
      EXPECT_GE(finished->usage.cached_tokens, 80) << i;
    }
  }
}

TEST(Farewell, LastsAsLongAsTheDiskNeedsAndNotForEver) {
  EXPECT_EQ(farewell(0, 200e6), kLeastFarewell);
  EXPECT_EQ(farewell(300'000'000, 200e6), seconds(3)) << "twice what it takes";
  EXPECT_EQ(farewell(int64_t{1} << 50, 200e6), kMostFarewell);
  EXPECT_EQ(farewell(1000, 1e-300), kMostFarewell);
}

TEST_F(ParkedByAWorker, IsForgottenWhereItsWeightsWereDamaged) {
  EXPECT_EQ(cached_tokens(options_), 0);
  {
    ToyOptions toy;
    toy.verify = []() -> Result<bool> { return fail(ErrorCode::corrupt, "damaged"); };
    Daemon daemon(toy);
    daemon.start(options_);
    daemon.expect<Failed>();
    EXPECT_EQ(daemon.status(), 1);
  }
  EXPECT_EQ(cached_tokens(options_), 0);
}

TEST(Worker, ACancelledRequestEndsWhileOthersGoOn) {
  Daemon daemon;
  daemon.start();
  daemon.send(1, prompt("one", 200));
  daemon.send(1, Cancel{});
  daemon.send(2, prompt("two", 3));
  int ended = 0;
  while (ended < 2) {
    const auto got = daemon.next();
    ASSERT_TRUE(got);
    if (const auto* finished = std::get_if<Finished>(&got->second)) {
      ++ended;
      EXPECT_EQ(finished->reason == FinishReason::cancelled, got->first == 1);
    }
  }
}

}  // namespace
}  // namespace skep::engine
