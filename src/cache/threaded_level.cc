#include "cache/threaded_level.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace skep::cache {
namespace {

Bytes bytes_of(const store::KeptAnswer& answer) {
  constexpr size_t kOverhead = 160;
  size_t bytes = kOverhead + answer.value.size();
  for (const std::string& tag : answer.tags) bytes += tag.size() + 32;
  return Bytes(static_cast<int64_t>(bytes));
}

bool may_pass(const Error& error) {
  return error.code == ErrorCode::unavailable || error.code == ErrorCode::overloaded ||
         error.code == ErrorCode::deadline_exceeded;
}

}  // namespace

ThreadedLevel::ThreadedLevel(EventLoop& loop, std::unique_ptr<store::AnswerTable> table, ThreadedLevelOptions options)
    : loop_(loop), options_(std::move(options)), table_(std::move(table)) {
  if (table_->shared()) {
    if (options_.load_seen) told_ = options_.load_seen();
  } else if (const auto news = table_->news(0)) {
    told_ = seen_ = news->epoch;  // nobody else invalidates
  } else {
    failed(news.error(), true);
  }
  load_orders();
  thread_ = std::thread([this] { run(); });
}

// What can't be read may have been any: everything is invalid then.
void ThreadedLevel::load_orders() {
  if (!options_.journal) return;
  auto left = options_.journal->load();
  if (!left) {
    failed(left.error(), true);
    next_order_ = uint64_t{1} << 62;  // beyond any that may stand there
    orders_.push_back({{next_order_++, store::kEveryTag, false}, true, false, {}});
    return;
  }
  for (OrderJournal::Order& order : *left) {
    next_order_ = order.number + 1;
    orders_.push_back({std::move(order), true, true, {}});
  }
}

ThreadedLevel::~ThreadedLevel() {
  *alive_ = false;
  for (auto& [number, asked] : asked_) loop_.cancel(asked.timer);
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  thread_.join();
}

void ThreadedLevel::post(std::function<void()> work) {
  loop_.post([alive = alive_, work = std::move(work)] {
    if (*alive) work();
  });
}

void ThreadedLevel::find(const CacheKey& key, std::function<void(std::optional<Kept>)> done) {
  const bool rests = loop_.now() < rests_until_;
  if (rests || asked_.size() >= options_.lookups) {
    ++skipped_;
    return post([done = std::move(done)] { done(std::nullopt); });
  }
  const uint64_t number = next_++;
  const TimerId timer = loop_.after(options_.patience, [this, number] {
    rests_until_ = loop_.now() + options_.pause;
    answered(number, std::nullopt, false);
  });
  asked_[number] = {std::move(done), timer};
  std::lock_guard lock(mutex_);
  lookups_.push_back({number, key});
  work_.notify_one();
}

void ThreadedLevel::answered(uint64_t lookup, std::optional<Kept> kept, bool in_time) {
  auto node = asked_.extract(lookup);
  if (node.empty()) return;  // it was late
  loop_.cancel(node.mapped().timer);
  ++(!in_time ? late_ : kept ? hits_ : misses_);
  node.mapped().done(std::move(kept));
}

void ThreadedLevel::keep(const CacheKey& key, Kept answer) {
  store::KeptAnswer one;
  one.key = cache::bytes_of(key);
  one.value = std::move(answer.value);
  one.tags = std::move(answer.tags);
  one.stored = answer.stored;
  one.expires = answer.expires;
  one.seen = seen_.value_or(0);
  const Bytes bytes = bytes_of(one);
  std::lock_guard lock(mutex_);
  if (!seen_ || waiting_ + bytes > options_.queue) {
    ++shed_;
    return;
  }
  waiting_ = waiting_ + bytes;
  answers_.push_back(std::move(one));
  work_.notify_one();
}

void ThreadedLevel::invalidate(const std::string& tag, bool forget, std::function<void(Status)> done) {
  std::lock_guard lock(mutex_);
  if (orders_.size() >= options_.orders) {
    // The first one may be under way: it stays.
    Order all{{0, store::kEveryTag, forget}, false, false, {}};
    for (; orders_.size() > 1; orders_.pop_back()) {
      all.forget = all.forget || orders_.back().forget;
      std::move(orders_.back().done.begin(), orders_.back().done.end(), std::back_inserter(all.done));
      if (options_.journal) merged_.push_back(orders_.back().number);  // once this one is noted
    }
    all.number = next_order_++;
    orders_.push_back(std::move(all));
  }
  orders_.push_back({{next_order_++, tag, forget}, false, false, {}});
  orders_.back().done.push_back(std::move(done));
  unnoted_ = true;
  work_.notify_one();
}

// `of_others`: not of an invalidation that this process made, and knows.
void ThreadedLevel::apply(store::AnswerTable::News news, bool of_others) {
  seen_ = std::max(seen_.value_or(0), news.epoch);
  const auto applied = [this, alive = alive_, epoch = news.epoch] {
    if (!*alive) return;
    std::lock_guard lock(mutex_);
    applied_ = std::max(applied_.value_or(0), epoch);
    work_.notify_one();
  };
  if (of_others && !news.tags.empty() && heard_) return heard_(news.tags, applied);
  applied();
}

Level::Counters ThreadedLevel::counters() const {
  std::lock_guard lock(mutex_);
  return {hits_, misses_, late_, skipped_, written_, shed_, failures_, waiting_, trouble_};
}

bool ThreadedLevel::failed(const Error& why, bool always_later) {
  ++failures_;
  trouble_ = why;
  if (!always_later && !may_pass(why)) return false;
  away_until_ = Steady::now() + options_.pause;
  post([this] { rests_until_ = loop_.now() + options_.pause; });
  return true;
}

bool ThreadedLevel::due(Steady::time_point now) const {
  if (stopping_ || !lookups_.empty() || (options_.journal && (unnoted_ || !merged_.empty()))) return true;
  if (now < away_until_) return false;
  return !orders_.empty() || !answers_.empty() || applied_ || now >= house_due_ ||
         ((table_->shared() || !told_) && now >= news_due_);
}

void ThreadedLevel::run() {
  Lock lock(mutex_);
  for (;;) {
    const auto now = Steady::now();
    if (!due(now)) {
      auto next = std::min(house_due_, table_->shared() || !told_ ? news_due_ : house_due_);
      next = std::max(next, away_until_);
      work_.wait_until(lock, next);
      continue;
    }
    const bool is_away = now < away_until_;
    if (options_.journal && (unnoted_ || !merged_.empty())) {
      note_orders(lock);
    } else if (!orders_.empty() && !is_away) {
      carry_out(lock);
    } else if (!lookups_.empty()) {
      look_up(lock);
    } else if (stopping_ && (is_away || (answers_.empty() && !applied_))) {
      return;
    } else if (!answers_.empty()) {
      write(lock);
    } else if (applied_) {
      save(lock);
    } else if ((table_->shared() || !told_) && now >= news_due_) {
      ask_news(lock);
    } else {
      house_due_ = now + options_.house_every;
      lock.unlock();
      const Status kept = table_->keep_house(loop_.clock().wall());
      lock.lock();
      if (!kept) failed(kept.error());
    }
  }
}

// First what is new, then what it stands for leaves: killed in between, both are there, never neither.
void ThreadedLevel::note_orders(Lock& lock) {
  std::vector<OrderJournal::Order> fresh;
  for (Order& order : orders_) {
    if (!std::exchange(order.tried, true)) fresh.push_back(order);
  }
  unnoted_ = false;
  const std::vector<uint64_t> merged = std::exchange(merged_, {});
  lock.unlock();
  std::optional<Error> wrong;
  std::set<uint64_t> noted;
  for (const OrderJournal::Order& order : fresh) {
    if (const Status added = options_.journal->add(order)) {
      noted.insert(order.number);
    } else {
      wrong = added.error();
    }
  }
  for (const uint64_t number : merged) {
    if (wrong) break;  // the one that stands for them may not be there
    if (const Status removed = options_.journal->remove(number); !removed) wrong = removed.error();
  }
  lock.lock();
  // It still holds for this process.
  if (wrong) ++failures_, trouble_ = wrong;
  for (Order& order : orders_) order.noted = order.noted || noted.contains(order.number);
  // Nobody waits for a server that is known to be away.
  if (Steady::now() >= away_until_) return;
  const Error why = trouble_.value_or(Error{ErrorCode::unavailable, options_.name + " is away", {}});
  for (Order& order : orders_) {
    if (order.tried) answer_order(order, fail(why));
  }
}

void ThreadedLevel::answer_order(Order& order, Status status) {
  if (!status && order.noted) {
    status.error().hint = "nothing is looked up there until it has heard of it: once it is back, after a restart too";
  }
  for (auto& one : std::exchange(order.done, {})) post([one = std::move(one), status] { one(status); });
}

void ThreadedLevel::carry_out(Lock& lock) {
  const std::string tag = orders_.front().tag;
  const bool forget = orders_.front().forget;
  const std::optional<uint64_t> noted = orders_.front().noted ? std::optional(orders_.front().number) : std::nullopt;
  lock.unlock();
  Result<uint64_t> epoch = uint64_t{0};
  if (!forget) {
    epoch = table_->invalidate(tag);
  } else if (Status gone = table_->forget(tag); !gone) {
    epoch = fail(gone.error());
  } else if (auto news = table_->news(told_.value_or(0))) {
    epoch = news->epoch;
  }
  Status removed;  // before it is told: where an agent is forgotten, its name leaves the journal, too
  if (epoch && noted) removed = options_.journal->remove(*noted);
  lock.lock();
  answer_order(orders_.front(), epoch ? Status() : fail(epoch.error()));
  if (epoch) {
    orders_.pop_front();
    trouble_.reset();
    if (!removed) ++failures_, trouble_ = removed.error();  // the next process does it once more
    // Nobody else's is between the last one that was heard and this one: all up to here is known.
    if (!table_->shared() || (told_ && *epoch == *told_ + 1)) {
      told_ = *epoch;
      post([this, epoch = *epoch] { apply({epoch, {}}, false); });
    }
  } else {
    failed(epoch.error(), true);
  }
}

void ThreadedLevel::look_up(Lock& lock) {
  const Lookup lookup = lookups_.front();
  lookups_.pop_front();
  const bool skip = stopping_ || Steady::now() < away_until_;
  lock.unlock();
  std::optional<Kept> kept;
  std::optional<Error> wrong;
  if (!skip) {
    auto found = table_->get(cache::bytes_of(lookup.key), loop_.clock().wall());
    if (!found) wrong = found.error();
    if (found && *found) {
      kept = Kept{std::move((*found)->value), std::move((*found)->tags), (*found)->stored, (*found)->expires};
    }
  }
  lock.lock();
  if (wrong) failed(*wrong);
  post([this, number = lookup.number, kept = std::move(kept)]() mutable { answered(number, std::move(kept), true); });
}

void ThreadedLevel::write(Lock& lock) {
  const size_t count = std::min(answers_.size(), options_.batch);
  std::vector<store::KeptAnswer> batch(answers_.begin(), answers_.begin() + static_cast<ptrdiff_t>(count));
  lock.unlock();
  const Status written = table_->put(std::move(batch));
  lock.lock();
  if (!written && failed(written.error())) return;  // they wait
  if (written) trouble_.reset();
  for (size_t i = 0; i < count; ++i) {
    waiting_ = waiting_ - bytes_of(answers_.front());
    answers_.pop_front();
  }
  (written ? written_ : shed_) += static_cast<int64_t>(count);
}

void ThreadedLevel::ask_news(Lock& lock) {
  const uint64_t since = told_.value_or(0);
  lock.unlock();
  auto news = table_->news(since);
  lock.lock();
  news_due_ = Steady::now() + options_.news_every;
  if (!news) {
    failed(news.error(), true);
    return;
  }
  const bool first = std::exchange(heard_news_, true) == false;
  if (!first && news->epoch == since) return;
  told_ = news->epoch;
  trouble_.reset();
  post([this, news = std::move(*news)]() mutable { apply(std::move(news), table_->shared()); });
}

void ThreadedLevel::save(Lock& lock) {
  const uint64_t epoch = *applied_;
  applied_.reset();
  if (!options_.save_seen) return;
  lock.unlock();
  options_.save_seen(epoch);
  lock.lock();
}

}  // namespace skep::cache
