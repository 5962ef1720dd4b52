#pragma once
// A Level on an AnswerTable, whose calls wait: a thread of its own makes them, so that a slow or dead table costs a
// look-up its patience once in a pause, and nobody anything else.
//
//   find()        ──▶ look-ups, at most 256 ──▶┐
//   invalidate()  ──▶ orders                ──▶├─ the thread: orders, then look-ups, then answers, then news ─▶ table
//   keep()        ──▶ answers, by bytes     ──▶┘
//
// Orders go first, and while one can't be carried out nothing is looked up: what was invalidated is never found. With a
// journal they are noted there before they are tried, and those that an earlier process left come first of all: so this
// holds through restarts, however long the table is away. Without one, for as long as the process lives.
//
// A call that fails because the table is away, and a look-up that takes longer than the patience, put the level at rest
// for the pause: look-ups are misses at once, answers wait in the queue, up to its bytes.
//
// Of a table that others write to, the newest invalidations are asked for every second. An answer is written with the
// epoch that was known when it was kept (store/answer_table.h), so until the first news nothing is kept.

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "base/event_loop.h"
#include "base/units.h"
#include "cache/level.h"
#include "cache/order_journal.h"
#include "store/answer_table.h"

namespace skep::cache {

struct ThreadedLevelOptions {
  std::string name;
  Duration patience = std::chrono::milliseconds(50);
  Duration pause = std::chrono::seconds(5);
  size_t lookups = 256;    // that wait
  size_t orders = 10'000;  // that wait; beyond it, all are one: everything is invalid
  Bytes queue = 8_MiB;     // of answers that wait; beyond it new ones are shed
  size_t batch = 64;       // answers
  Duration news_every = std::chrono::seconds(1);
  Duration house_every = std::chrono::minutes(1);
  // For a table that may be away while the state's store is there. On the thread.
  std::shared_ptr<OrderJournal> journal;
  // Where the epoch that this process has applied is kept through restarts, with answers in levels above. On the
  // thread.
  std::function<uint64_t()> load_seen;
  std::function<void(uint64_t)> save_seen;
};

class ThreadedLevel final : public Level {
 public:
  // Waits for a table that is this process's alone, once.
  ThreadedLevel(EventLoop& loop, std::unique_ptr<store::AnswerTable> table, ThreadedLevelOptions options);
  ~ThreadedLevel() override;  // writes what waits, unless the table is away
  ThreadedLevel(const ThreadedLevel&) = delete;
  ThreadedLevel& operator=(const ThreadedLevel&) = delete;

  [[nodiscard]] const std::string& name() const override { return options_.name; }
  void find(const CacheKey& key, std::function<void(std::optional<Kept>)> done) override;
  void keep(const CacheKey& key, Kept answer) override;
  void invalidate(const std::string& tag, bool forget, std::function<void(Status)> done) override;
  void on_invalidated(Heard heard) override { heard_ = std::move(heard); }
  [[nodiscard]] Counters counters() const override;

 private:
  struct Order : OrderJournal::Order {
    bool tried = false;  // to note it in the journal
    bool noted = false;
    std::vector<std::function<void(Status)>> done;  // told once: of the first try
  };
  struct Lookup {
    uint64_t number = 0;
    CacheKey key{};
  };
  struct Asked {
    std::function<void(std::optional<Kept>)> done;
    TimerId timer = TimerId::none;
  };
  using Lock = std::unique_lock<std::mutex>;
  using Steady = std::chrono::steady_clock;

  void answered(uint64_t lookup, std::optional<Kept> kept, bool in_time);
  void apply(store::AnswerTable::News news, bool of_others);
  void post(std::function<void()> work);  // to the loop, for as long as this lives

  // The thread's.
  void run();
  [[nodiscard]] bool due(Steady::time_point now) const;
  void load_orders();
  void note_orders(Lock& lock);
  void carry_out(Lock& lock);
  void answer_order(Order& order, Status status);
  void look_up(Lock& lock);
  void write(Lock& lock);
  void ask_news(Lock& lock);
  void save(Lock& lock);
  // Notes a failure; true: the table is away, and what was asked of it is asked later.
  bool failed(const Error& why, bool always_later = false);

  // The loop's.
  EventLoop& loop_;
  ThreadedLevelOptions options_;
  std::unordered_map<uint64_t, Asked> asked_;  // by number
  uint64_t next_ = 1;
  std::optional<uint64_t> seen_;  // the epoch that holds here; unset: not heard yet
  TimePoint rests_until_{};
  Heard heard_;
  int64_t hits_ = 0, misses_ = 0, late_ = 0, skipped_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  // The thread's.
  std::unique_ptr<store::AnswerTable> table_;
  std::optional<uint64_t> told_;  // the newest epoch that the loop was told of
  bool heard_news_ = false;       // this run
  Steady::time_point away_until_{}, news_due_{}, house_due_{};

  // Shared.
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Order> orders_;
  uint64_t next_order_ = 1;
  bool unnoted_ = false;          // some order is not in the journal yet
  std::vector<uint64_t> merged_;  // orders in the journal that one for everything stands for
  std::deque<Lookup> lookups_;
  std::deque<store::KeptAnswer> answers_;
  Bytes waiting_;
  std::optional<uint64_t> applied_;  // an epoch to be saved
  int64_t written_ = 0, shed_ = 0, failures_ = 0;
  std::optional<Error> trouble_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace skep::cache
