#include "memory/memory_service.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "memory/local_facts.h"

namespace skep::memory {
namespace {

using namespace std::chrono_literals;

// Posts come from the memory's thread. Timers run as soon as nothing else is there, work for the pool when the test
// says so.
class HeldLoop final : public EventLoop {
 public:
  [[nodiscard]] const Clock& clock() const override { return clock_; }
  void post(std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
    there_.notify_one();
  }
  TimerId after(Duration, std::function<void()> work) override {
    timers_.emplace(++next_, std::move(work));
    return TimerId{next_};
  }
  void cancel(TimerId timer) override { timers_.erase(static_cast<uint64_t>(timer)); }
  void blocking(std::function<void()> work, std::function<void()> done) override {
    held.emplace_back(std::move(work), std::move(done));
  }
  // Until `done` says so; false: for ten seconds it didn't.
  bool run_until(const std::function<bool()>& done) {
    for (int i = 0; i < 1000; ++i) {
      while (auto work = take()) work();
      if (done()) return true;
      auto due = std::exchange(timers_, {});
      for (auto& [id, work] : due) work();
    }
    return false;
  }

  std::vector<std::pair<std::function<void()>, std::function<void()>>> held;

 private:
  std::function<void()> take() {
    std::unique_lock lock(mutex_);
    if (!there_.wait_for(lock, 10ms, [&] { return !posted_.empty(); })) return nullptr;
    auto work = std::move(posted_.front());
    posted_.pop_front();
    return work;
  }

  ManualClock clock_;
  std::mutex mutex_;
  std::condition_variable there_;
  std::deque<std::function<void()>> posted_;
  std::map<uint64_t, std::function<void()>> timers_;
  uint64_t next_ = 0;
};

// Refuses a whole request when one of its texts is long, as an engine does.
struct ShortSource final : EmbedderSource {
  explicit ShortSource(EventLoop& l) : loop(l) {}
  Result<std::string> identity() override {
    if (!there) return fail(ErrorCode::unavailable, "no embedding model");
    return std::string("model-1");
  }
  void embed(std::vector<std::string> texts,
             std::function<void(Result<std::vector<std::vector<float>>>)> done) override {
    std::vector<std::vector<float>> vectors;
    for (const std::string& text : texts) {
      if (text.size() > 100) {
        return loop.post([done] { done(fail(ErrorCode::context_overflow, "an input is too long")); });
      }
      std::vector<float> vector(32);
      vector[std::hash<std::string>()(text) % 32] = 1;
      vectors.push_back(std::move(vector));
    }
    loop.post([done, vectors] { done(vectors); });
  }
  EventLoop& loop;
  bool there = true;
};

struct CountingValues final : store::KeyValue {
  using Text = std::string_view;
  using Ttl = std::optional<Duration>;
  Result<std::optional<std::string>> get(Text, Text) override { return ++asked, std::nullopt; }
  Status put(Text, Text, Text, Ttl) override { return ++asked, Status(); }
  Result<bool> erase(Text, Text) override { return ++asked, false; }
  Result<Ttl> ttl(Text, Text) override { return ++asked, Ttl(); }
  Result<int64_t> add(Text, Text, int64_t, Ttl) override { return ++asked, 0; }
  Result<size_t> push(Text, Text, Text, size_t, Ttl) override { return ++asked, 0; }
  Result<std::vector<std::string>> items(Text, Text, size_t, size_t) override { return ++asked, Strings(); }
  Result<std::vector<std::string>> keys(Text, Text, Text, size_t) override { return ++asked, Strings(); }
  Result<size_t> clear(Text) override { return ++asked, 0; }
  using Strings = std::vector<std::string>;
  int asked = 0;
};

class MemoryServiceTest : public testing::Test {
 protected:
  MemoryServiceTest()
      : folder_((std::filesystem::temp_directory_path() / fmt::format("skep-service-{}", getpid())).string()) {
    std::filesystem::remove_all(folder_);
    LocalFactsOptions options;
    options.folder = folder_;
    thread.emplace(loop, LocalFacts::open(options).value());
    service.emplace(loop, embedder, *thread, values, true);
  }
  ~MemoryServiceTest() override {
    service.reset();
    thread.reset();
    std::filesystem::remove_all(folder_);
  }
  void add(std::vector<std::string> texts) {
    std::vector<NewFact> facts;
    for (std::string& text : texts) {
      NewFact fact;
      fact.text = std::move(text);
      facts.push_back(std::move(fact));
    }
    bool added = false;
    service->add(std::move(facts), [&](const Result<std::vector<Added>>& done) { added = done.has_value(); });
    ASSERT_TRUE(loop.run_until([&] { return added; }));
  }
  size_t vectors() {
    std::optional<size_t> count;
    service->statistics([&](const Result<MemoryStatistics>& all) { count = all->long_term.vectors; });
    EXPECT_TRUE(loop.run_until([&] { return count.has_value(); }));
    return count.value_or(0);
  }

  std::string folder_;
  HeldLoop loop;
  ShortSource source{loop};
  Embedder embedder{loop, source};
  CountingValues values;
  std::optional<MemoryThread> thread;
  std::optional<MemoryService> service;
};

TEST_F(MemoryServiceTest, AnOverLongFactCostsItsNeighboursNoVector) {
  add({"one", std::string(500, 'x'), "two", "three"});
  EXPECT_EQ(vectors(), 3U);
}

TEST_F(MemoryServiceTest, OverLongFactsDoNotKeepThoseBehindThemFromTheirVectors) {
  source.there = false;
  std::vector<std::string> texts;
  for (int i = 0; i < 70; ++i) texts.push_back(fmt::format("{} {}", i, std::string(500, 'x')));  // more than a batch
  for (int i = 0; i < 5; ++i) texts.push_back(fmt::format("short {}", i));
  add(texts);
  ASSERT_EQ(vectors(), 0U);
  source.there = true;
  add({"the model is back"});
  EXPECT_TRUE(loop.run_until([&] { return vectors() == 6; }));
}

// The daemon's event loop joins its pool after the daemon's parts are gone.
TEST_F(MemoryServiceTest, WhatWaitsInThePoolTouchesNothingAfterTheEnd) {
  bool heard = false;
  service->with_values([](store::KeyValue& v, Blocks&) { return v.get("s", "k"); },
                       [&](const Result<std::optional<std::string>>&) { heard = true; });
  ASSERT_EQ(loop.held.size(), 1U);
  service.reset();
  loop.held[0].first();
  loop.held[0].second();
  EXPECT_EQ(values.asked, 0);
  EXPECT_FALSE(heard);
}

}  // namespace
}  // namespace skep::memory
