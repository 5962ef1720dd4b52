#include "memory/memory_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

namespace skep::memory {
namespace {

// Its post() is called by the thread: collected under a lock, and run when the test says so.
class CrossThreadLoop final : public EventLoop {
 public:
  [[nodiscard]] const Clock& clock() const override { return clock_; }
  void post(std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
    there_.notify_one();
  }
  TimerId after(Duration, std::function<void()>) override { return TimerId::none; }
  void cancel(TimerId) override {}
  void blocking(std::function<void()> work, std::function<void()> done) override { work(), done(); }
  void run_one() {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      there_.wait(lock, [&] { return !posted_.empty(); });
      work = std::move(posted_.front());
      posted_.pop_front();
    }
    work();
  }

 private:
  ManualClock clock_;
  std::mutex mutex_;
  std::condition_variable there_;
  std::deque<std::function<void()>> posted_;
};

struct FakeStore final : LongTerm {
  struct Seen {
    std::atomic<int> syncs{0}, works{0};
    std::atomic<bool> ended{false};
  };
  explicit FakeStore(std::shared_ptr<Seen> s) : seen(std::move(s)) {}
  ~FakeStore() override { seen->ended = true; }
  Result<std::vector<Added>> add(std::vector<NewFact> facts) override {
    std::vector<Added> added;
    for (size_t i = 0; i < facts.size(); ++i) added.push_back({next++, false});
    return added;
  }
  Result<std::vector<Hit>> search(const Query&) override { return fail(ErrorCode::io, "no disk"); }
  Result<std::vector<Fact>> list(const Filter&, FactId, size_t) override { return std::vector<Fact>(); }
  Result<size_t> forget(const std::vector<FactId>&) override { return size_t{0}; }
  Result<size_t> forget(const Filter&) override { return size_t{0}; }
  Status use_embedder(const std::string&, size_t) override { return {}; }
  Result<std::vector<Fact>> without_vector(size_t, FactId) override { return std::vector<Fact>(); }
  Status set_vectors(const std::vector<std::pair<FactId, std::vector<float>>>&) override { return {}; }
  Status sync() override { return ++seen->syncs, Status(); }
  Result<LongTermStatistics> statistics() override { return LongTermStatistics(); }
  bool work() override { return ++seen->works % 5 != 0; }
  std::shared_ptr<Seen> seen;
  FactId next = 1;
};

TEST(MemoryThread, CallsAreAnsweredOnTheLoopInOrder) {
  CrossThreadLoop loop;
  auto seen = std::make_shared<FakeStore::Seen>();
  MemoryThread thread(loop, std::make_unique<FakeStore>(seen));
  std::vector<FactId> ids;
  const auto caller = std::this_thread::get_id();
  for (int i = 0; i < 100; ++i) {
    thread.run([](LongTerm& store) { return store.add({NewFact()}); },
               [&](const Result<std::vector<Added>>& added) {
                 EXPECT_EQ(std::this_thread::get_id(), caller);
                 ids.push_back(added->front().id);
               });
  }
  for (int i = 0; i < 100; ++i) loop.run_one();
  for (FactId i = 0; i < 100; ++i) EXPECT_EQ(ids[i], i + 1);
  bool failed = false;
  thread.run([](LongTerm& store) { return store.search({}); },
             [&](const Result<std::vector<Hit>>& hits) { failed = hits.error().code == ErrorCode::io; });
  loop.run_one();
  EXPECT_TRUE(failed);
}

TEST(MemoryThread, EndingFinishesWhatWaitsAndSyncsAndAnswersNobody) {
  CrossThreadLoop loop;
  auto seen = std::make_shared<FakeStore::Seen>();
  int heard = 0;
  std::atomic<int> worked = 0;
  {
    MemoryThread thread(loop, std::make_unique<FakeStore>(seen));
    for (int i = 0; i < 20; ++i) {
      thread.run([&](LongTerm& store) { return ++worked, store.statistics(); }, [&](const auto&) { ++heard; });
    }
  }
  EXPECT_EQ(worked, 20);
  EXPECT_GE(seen->syncs, 1);
  EXPECT_TRUE(seen->ended);
  for (int i = 0; i < 20; ++i) loop.run_one();
  EXPECT_EQ(heard, 0);
}

}  // namespace
}  // namespace skep::memory
