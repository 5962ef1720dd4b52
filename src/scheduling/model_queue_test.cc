#include "scheduling/model_queue.h"

#include <gtest/gtest.h>

#include <map>

namespace skep::scheduling {
namespace {

TimePoint at(int seconds) { return TimePoint(std::chrono::seconds(seconds)); }

class ModelQueueTest : public ::testing::Test {
 protected:
  void add(uint64_t id, int submitted, Place place, const std::string& flow = "a", int deadline = 1000) {
    Waiting task{.id = id, .flow = flow, .submitted = at(submitted), .deadline = at(deadline), .place = place};
    tasks_[id] = task;
    queue_.insert(task);
  }
  std::vector<uint64_t> drain(bool aged_due = false) {
    std::vector<uint64_t> order;
    while (const auto head = queue_.head(aged_due)) {
      order.push_back(head->id);
      queue_.serve(tasks_.at(head->id), 10);
    }
    EXPECT_EQ(queue_.size(), 0);
    return order;
  }
  ModelQueue queue_;
  std::map<uint64_t, Waiting> tasks_;
};

using Order = std::vector<uint64_t>;

TEST_F(ModelQueueTest, TakesCriticalThenAgedThenTheClassesInTurn) {
  add(1, 10, {.rank = 3});
  add(2, 11, {.rank = 2});
  add(3, 12, {.rank = 1});
  add(4, 13, {.rank = 0});
  add(5, 2, {.rank = 2, .aged = true});
  add(6, 1, {.rank = 1, .aged = true});
  EXPECT_EQ(drain(), (Order{4, 6, 5, 3, 2, 1}));
}

TEST_F(ModelQueueTest, AfterABurstOfCriticalTasksAnAgedOneIsNext) {
  add(1, 13, {.rank = 0});
  add(2, 2, {.rank = 2, .aged = true});
  add(3, 14, {.rank = 1});
  EXPECT_EQ(queue_.head(true)->band, Head::Band::aged_due);
  EXPECT_EQ(drain(true), (Order{2, 1, 3}));
}

TEST_F(ModelQueueTest, TakesDeadlinesAtRiskFirstInTheirClassEarliestFirst) {
  add(1, 1, {.rank = 2});
  add(2, 2, {.rank = 2, .at_risk = true}, "a", 50);
  add(3, 3, {.rank = 2, .at_risk = true}, "a", 40);
  add(4, 4, {.rank = 1});
  EXPECT_TRUE(queue_.has_risk());
  EXPECT_EQ(drain(), (Order{4, 3, 2, 1}));
  EXPECT_FALSE(queue_.has_risk());
}

TEST_F(ModelQueueTest, AgentsShareInsideAClassAndPayForTasksTakenOutOfTurn) {
  add(1, 1, {.rank = 2}, "a");
  add(2, 2, {.rank = 2}, "a");
  add(3, 3, {.rank = 2}, "a");
  add(4, 4, {.rank = 2}, "b");
  add(5, 5, {.rank = 2}, "b");
  add(6, 6, {.rank = 2, .at_risk = true}, "a", 20);
  EXPECT_EQ(drain(), (Order{6, 4, 1, 5, 2, 3}));
}

TEST_F(ModelQueueTest, KnowsTheOldestOfEachClassWhateverItsPlace) {
  add(1, 5, {.rank = 2, .aged = true});
  add(2, 3, {.rank = 2, .at_risk = true});
  add(3, 4, {.rank = 2});
  EXPECT_EQ(queue_.oldest(2), at(3));
  queue_.remove(tasks_[2]);
  EXPECT_EQ(queue_.oldest(2), at(4));
  EXPECT_EQ(queue_.oldest(1), std::nullopt);
}

}  // namespace
}  // namespace skep::scheduling
