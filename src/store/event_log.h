#pragma once
// The way of events into their store: a bounded queue and a thread of its own, so that writing them never slows what
// they tell of. Batches go out every quarter of a second, or when one is full. While the store is away they wait, up to
// the bound; beyond it new ones are shed, and counted. An event that the store can't keep is found by halving its
// batch, and dropped, and counted: it holds up nobody.

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "store/event.h"

namespace skep::store {

struct EventLogOptions {
  size_t queue = 20'000;  // events that wait
  size_t batch = 1'000;
  Duration collect = std::chrono::milliseconds(250);
  Duration retry = std::chrono::seconds(1);  // after a failure; doubled up to 30 s
  Duration retention = std::chrono::hours(24 * 30);
  Duration house_keeping = std::chrono::hours(1);
  // Of those who want to query while somebody does: one at a time, so that a store that hangs holds up one thread.
  Duration patience = std::chrono::milliseconds(500);
};

class EventLog {
 public:
  EventLog(std::unique_ptr<EventStore> store, const Clock& clock, EventLogOptions options);
  ~EventLog();  // writes what waits, unless the store is away
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Any thread; never waits. The time is set if it is not.
  void add(Event event);
  // Any thread; waits for the store. overloaded: another query takes long.
  Result<std::vector<Event>> query(const EventFilter& filter);
  // Any thread; waits for the store. What the log has of the agent goes, also what still waits here; an error: the
  // store has it still.
  Status forget(const std::string& agent);
  // Waits until all that was added before is written, at most so long; false: it is not.
  bool flush(Duration most);

  struct Counters {
    int64_t added = 0, written = 0, shed = 0, failures = 0;
    int64_t dropped = 0;  // the store can't keep them
    size_t waiting = 0;
    std::optional<Error> trouble;  // why nothing is written now
  };
  [[nodiscard]] Counters counters() const;
  [[nodiscard]] std::string_view store_name() const { return store_->name(); }

 private:
  void run();
  bool write_batch(std::unique_lock<std::mutex>& lock);
  void forget_next(std::unique_lock<std::mutex>& lock);
  struct Forgetting {
    std::string agent;
    std::optional<Status> done;
  };

  std::unique_ptr<EventStore> store_;
  const Clock& clock_;
  EventLogOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable work_, written_;
  std::deque<Event> queue_;
  std::deque<std::shared_ptr<Forgetting>> forgetting_;
  Counters counters_;
  bool hurry_ = false;  // somebody waits in flush()
  bool stopping_ = false;
  size_t batch_ = 0;  // of the next try; halved when the store refuses an event of it
  std::timed_mutex querying_;
  std::thread thread_;
};

}  // namespace skep::store
