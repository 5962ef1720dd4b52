#include "store/event_log.h"

#include <algorithm>

namespace skep::store {

EventLog::EventLog(std::unique_ptr<EventStore> store, const Clock& clock, EventLogOptions options)
    : store_(std::move(store)), clock_(clock), options_(options), batch_(options.batch), thread_([this] { run(); }) {}

EventLog::~EventLog() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  thread_.join();
  for (const auto& request : forgetting_) request->done = fail(ErrorCode::cancelled, "the event log is being closed");
  written_.notify_all();
}

void EventLog::add(Event event) {
  if (event.at == WallTime{}) event.at = clock_.wall();
  event.at = std::chrono::floor<std::chrono::microseconds>(event.at);
  std::lock_guard lock(mutex_);
  ++counters_.added;
  if (queue_.size() >= options_.queue) {
    ++counters_.shed;
    return;
  }
  queue_.push_back(std::move(event));
  if (queue_.size() == 1 || queue_.size() == options_.batch) work_.notify_one();
}

Result<std::vector<Event>> EventLog::query(const EventFilter& filter) {
  const std::unique_lock one(querying_, options_.patience);
  if (!one.owns_lock()) return fail(ErrorCode::overloaded, "the event log is busy with another question", "try again");
  return store_->query(filter);
}

bool EventLog::flush(Duration most) {
  std::unique_lock lock(mutex_);
  int64_t wanted = counters_.added - counters_.shed;
  hurry_ = true;
  work_.notify_one();
  return written_.wait_for(lock, most, [&] { return counters_.written + counters_.dropped >= wanted; });
}

Status EventLog::forget(const std::string& agent) {
  auto request = std::make_shared<Forgetting>();
  request->agent = agent;
  std::unique_lock lock(mutex_);
  if (stopping_) return fail(ErrorCode::cancelled, "the event log is being closed");
  forgetting_.push_back(request);
  work_.notify_one();
  written_.wait(lock, [&] { return request->done.has_value(); });
  return *request->done;
}

void EventLog::forget_next(std::unique_lock<std::mutex>& lock) {
  auto request = forgetting_.front();
  forgetting_.pop_front();
  const size_t before = queue_.size();
  std::erase_if(queue_, [&](const Event& event) { return event.agent == request->agent; });
  counters_.dropped += static_cast<int64_t>(before - queue_.size());
  lock.unlock();
  Status done = store_->forget(request->agent);
  lock.lock();
  request->done = std::move(done);
  written_.notify_all();
}

EventLog::Counters EventLog::counters() const {
  std::lock_guard lock(mutex_);
  Counters counters = counters_;
  counters.waiting = queue_.size();
  return counters;
}

void EventLog::run() {
  Duration wait = options_.retry;
  std::optional<std::chrono::steady_clock::time_point> house_due;
  std::unique_lock lock(mutex_);
  for (;;) {
    while (!forgetting_.empty()) forget_next(lock);
    auto now = std::chrono::steady_clock::now();
    if (!house_due || now >= *house_due) {
      lock.unlock();
      Status kept = store_->keep_house(clock_.wall(), options_.retention);
      lock.lock();
      if (!kept) counters_.trouble = kept.error();
      house_due = now + (kept ? options_.house_keeping : options_.retry);
    }
    work_.wait_until(lock, *house_due, [&] { return stopping_ || !queue_.empty() || !forgetting_.empty(); });
    if (!forgetting_.empty()) continue;
    if (queue_.empty()) {
      hurry_ = false;
      if (stopping_) return;
      continue;
    }
    work_.wait_for(lock, options_.collect,
                   [&] { return stopping_ || hurry_ || queue_.size() >= options_.batch || batch_ < options_.batch; });
    if (write_batch(lock)) {
      wait = options_.retry;
      continue;
    }
    if (stopping_) return;
    work_.wait_for(lock, wait, [&] { return stopping_ || !forgetting_.empty(); });
    wait = std::min<Duration>(2 * wait, std::chrono::seconds(30));
  }
}

bool EventLog::write_batch(std::unique_lock<std::mutex>& lock) {
  size_t count = std::min(queue_.size(), batch_);
  std::vector<Event> batch(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(count));
  lock.unlock();
  Status written = store_->append(batch);
  lock.lock();
  if (!written) {
    ++counters_.failures;
    counters_.trouble = written.error();
    const ErrorCode code = written.error().code;
    if (code != ErrorCode::invalid_argument && code != ErrorCode::conflict) return false;
    if (count > 1) return batch_ = count / 2, true;
    ++counters_.dropped;
    queue_.pop_front();
    written_.notify_all();
    return true;
  }
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(count));
  counters_.written += static_cast<int64_t>(count);
  counters_.trouble.reset();
  batch_ = std::min(options_.batch, 2 * batch_);
  written_.notify_all();
  return true;
}

}  // namespace skep::store
