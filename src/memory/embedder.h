#pragma once
// Vectors of texts for whoever needs them (memory, cache, the API): what is asked at about the same time goes to the
// engine in one batch, a text that waits or is on its way is asked for once, and what was answered is remembered.
//
// Lives on the event loop. What makes the vectors is the source: the daemon's embedding engine, a double in tests.

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/units.h"

namespace skep::memory {

// The text itself can't be embedded (it is longer than the model takes), now or later.
constexpr bool text_is_at_fault(ErrorCode code) {
  return code == ErrorCode::context_overflow || code == ErrorCode::invalid_argument || code == ErrorCode::too_large;
}

using Vector = std::shared_ptr<const std::vector<float>>;  // unit length

class EmbedderSource {
 public:
  virtual ~EmbedderSource() = default;
  // Which model embeds now, by name and content: "nomic-embed|sha256:…". An error says why none does. Vectors of
  // different identities can't be compared.
  [[nodiscard]] virtual Result<std::string> identity() = 0;
  // One vector per text, in order; `done` on the loop, not from inside the call.
  virtual void embed(std::vector<std::string> texts,
                     std::function<void(Result<std::vector<std::vector<float>>>)> done) = 0;
};

struct EmbedderOptions {
  size_t batch = 64;                               // texts
  Duration window = std::chrono::milliseconds(2);  // that a batch waits for company while the engine is idle
  size_t waiting = 10'000;                         // texts; one more is refused as overloaded
  Bytes remembered = 16_MiB;                       // of vectors
};

class Embedder {
 public:
  Embedder(EventLoop& loop, EmbedderSource& source, EmbedderOptions options = {});
  ~Embedder();  // who still waits hears nothing more
  Embedder(const Embedder&) = delete;
  Embedder& operator=(const Embedder&) = delete;

  // Why there are no vectors, or whose they are.
  [[nodiscard]] Result<std::string> identity() { return source_.identity(); }

  // `done` comes on the loop, not from inside the call.
  using Done = std::function<void(Result<Vector>)>;
  void embed(const std::string& text, Done done);
  // In order, each for itself: one text that the model can't take costs the others nothing.
  void embed_each(const std::vector<std::string>& texts, std::function<void(std::vector<Result<Vector>>)> done);
  // What is remembered; nullptr: it must be asked for.
  [[nodiscard]] Vector remembered(const std::string& text);

  struct Counters {
    int64_t asked = 0, remembered = 0, joined = 0, batches = 0, embedded = 0, failed = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Key {
    uint64_t low = 0, high = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    size_t operator()(const Key& k) const { return k.low; }
  };
  struct Pending {
    std::string text;
    std::vector<Done> waiters;
  };
  struct Remembered {
    Key key;
    Vector vector;
  };
  static Key key_of(const std::string& identity, const std::string& text);
  void schedule();
  void send();
  void answered(std::vector<Key> keys, const Result<std::vector<std::vector<float>>>& vectors);
  void send(std::vector<Key> keys);
  void remember(const Key& key, Vector vector);

  EventLoop& loop_;
  EmbedderSource& source_;
  EmbedderOptions options_;
  std::unordered_map<Key, Pending, KeyHash> pending_;  // waiting or on their way
  std::deque<Key> waiting_;
  std::vector<std::vector<Key>> halves_;  // of batches that were refused: smaller ones, to find the text at fault
  bool busy_ = false;                     // a batch is on its way
  TimerId timer_ = TimerId::none;
  std::list<Remembered> order_;  // the last used first
  std::unordered_map<Key, std::list<Remembered>::iterator, KeyHash> known_;
  int64_t bytes_ = 0;
  Counters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::memory
