#include "memory/embedder.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

namespace skep::memory {
namespace {

constexpr int64_t kEntryOverhead = 160;  // of one remembered vector: list and map nodes, control block

}  // namespace

Embedder::Embedder(EventLoop& loop, EmbedderSource& source, EmbedderOptions options)
    : loop_(loop), source_(source), options_(options) {}

Embedder::~Embedder() {
  *alive_ = false;
  loop_.cancel(timer_);
}

Embedder::Key Embedder::key_of(const std::string& identity, const std::string& text) {
  const std::string joined = identity + '\0' + text;
  const XXH128_hash_t hash = XXH3_128bits(joined.data(), joined.size());
  return {hash.low64, hash.high64};
}

Vector Embedder::remembered(const std::string& text) {
  const auto identity = source_.identity();
  if (!identity) return nullptr;
  const auto found = known_.find(key_of(*identity, text));
  if (found == known_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return found->second->vector;
}

void Embedder::embed(const std::string& text, Done done) {
  ++counters_.asked;
  const auto refuse = [&](Error error) {
    ++counters_.failed;
    loop_.post([done = std::move(done), error = std::move(error)] { done(fail(error)); });
  };
  const auto identity = source_.identity();
  if (!identity) return refuse(identity.error());
  if (Vector vector = remembered(text)) {
    ++counters_.remembered;
    loop_.post([done = std::move(done), vector = std::move(vector)] { done(vector); });
    return;
  }
  const Key key = key_of(*identity, text);
  if (const auto same = pending_.find(key); same != pending_.end()) {
    ++counters_.joined;
    same->second.waiters.push_back(std::move(done));
    return;
  }
  if (waiting_.size() >= options_.waiting) {
    return refuse(
        {ErrorCode::overloaded, fmt::format("{} texts wait to be embedded already", waiting_.size()), "try again"});
  }
  Pending& pending = pending_[key];
  pending.text = text;
  pending.waiters.push_back(std::move(done));
  waiting_.push_back(key);
  schedule();
}

void Embedder::embed_each(const std::vector<std::string>& texts,
                          std::function<void(std::vector<Result<Vector>>)> done) {
  struct Gathering {
    std::vector<Result<Vector>> vectors;
    size_t missing = 0;
    std::function<void(std::vector<Result<Vector>>)> done;
  };
  auto all = std::make_shared<Gathering>();
  all->vectors.resize(texts.size());
  all->missing = texts.size();
  all->done = std::move(done);
  if (texts.empty()) return loop_.post([all] { all->done({}); });
  for (size_t i = 0; i < texts.size(); ++i) {
    embed(texts[i], [all, i](Result<Vector> vector) {
      all->vectors[i] = std::move(vector);
      if (--all->missing == 0) all->done(std::move(all->vectors));
    });
  }
}

// A full batch goes at once; a smaller one waits for company, for as long as the engine is busy or the window lasts.
void Embedder::schedule() {
  if (busy_) return;
  if (!halves_.empty()) {
    std::vector<Key> half = std::move(halves_.back());
    halves_.pop_back();
    return send(std::move(half));
  }
  if (waiting_.empty()) return;
  if (waiting_.size() >= options_.batch) return send();
  if (timer_ != TimerId::none) return;
  timer_ = loop_.after(options_.window, [this] {
    timer_ = TimerId::none;
    if (!busy_) send();
  });
}

void Embedder::send() {
  if (waiting_.empty()) return;
  loop_.cancel(std::exchange(timer_, TimerId::none));
  std::vector<Key> keys;
  while (!waiting_.empty() && keys.size() < options_.batch) {
    keys.push_back(waiting_.front());
    waiting_.pop_front();
  }
  send(std::move(keys));
}

void Embedder::send(std::vector<Key> keys) {
  std::vector<std::string> texts;
  for (const Key& key : keys) texts.push_back(pending_.at(key).text);
  busy_ = true;
  ++counters_.batches;
  source_.embed(std::move(texts), [this, alive = alive_, keys](Result<std::vector<std::vector<float>>> vectors) {
    if (*alive) answered(keys, vectors);
  });
}

void Embedder::answered(std::vector<Key> keys, const Result<std::vector<std::vector<float>>>& vectors) {
  busy_ = false;
  // One text is at fault (too long for the model): halved until it stands alone, so that the others get theirs.
  if (!vectors && keys.size() > 1 && text_is_at_fault(vectors.error().code)) {
    const auto middle = keys.begin() + static_cast<ptrdiff_t>(keys.size() / 2);
    halves_.emplace_back(middle, keys.end());
    keys.erase(middle, keys.end());
    halves_.push_back(std::move(keys));
    return schedule();
  }
  const bool whole = vectors && vectors->size() == keys.size();
  const Error wrong = vectors
                          ? Error{ErrorCode::internal, "the embedding engine answered another number of vectors", {}}
                          : vectors.error();
  std::vector<std::pair<Done, Result<Vector>>> answers;
  for (size_t i = 0; i < keys.size(); ++i) {
    auto pending = pending_.extract(keys[i]);
    Result<Vector> answer = fail(wrong);
    if (whole) {
      ++counters_.embedded;
      auto vector = std::make_shared<const std::vector<float>>((*vectors)[i]);
      remember(keys[i], vector);
      answer = std::move(vector);
    } else {
      ++counters_.failed;
    }
    for (Done& waiter : pending.mapped().waiters) answers.emplace_back(std::move(waiter), answer);
  }
  // Last: a waiter may ask again, or end this embedder.
  const auto alive = alive_;
  schedule();
  for (auto& [waiter, answer] : answers) {
    if (!*alive) return;
    waiter(std::move(answer));
  }
}

void Embedder::remember(const Key& key, Vector vector) {
  const auto size = [](const Vector& v) { return static_cast<int64_t>(v->size() * sizeof(float)) + kEntryOverhead; };
  if (known_.contains(key)) return;
  bytes_ += size(vector);
  order_.push_front({key, std::move(vector)});
  known_[key] = order_.begin();
  while (bytes_ > options_.remembered.count && !order_.empty()) {
    bytes_ -= size(order_.back().vector);
    known_.erase(order_.back().key);
    order_.pop_back();
  }
}

}  // namespace skep::memory
