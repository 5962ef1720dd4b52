#pragma once
// The embeddings of a worker, in the order they were asked for, one batch of inputs a step: so that a long list does
// not keep a cancel or a shutdown waiting. Single-threaded; `emit` is called from inside start() and step().

#include <deque>
#include <functional>
#include <vector>

#include "engine/forward.h"
#include "engine/vocabulary.h"
#include "engine/wire.h"

namespace skep::engine {

class Embedder {
 public:
  using Emit = std::function<void(RequestId, Message)>;
  static constexpr size_t kMostInputs = 2048;  // of a request
  static constexpr size_t kMostWaiting = 256;  // requests; then overloaded

  // `forward` was loaded for embeddings. Both outlive this.
  Embedder(Forward& forward, const Vocabulary& vocabulary, Emit emit);

  // Answered once, by Embeddings or by Failed: context_overflow for an input that is longer than the engine takes,
  // unless it may be cut.
  void start(RequestId id, Embed request);
  void cancel(RequestId id);  // nothing is answered; unknown ones: nothing happens

  [[nodiscard]] int next_tokens() const;  // that the next step will evaluate; 0: nothing to do
  bool step();                            // false: there was nothing to do

 private:
  struct Request {
    RequestId id;
    std::vector<std::vector<Token>> inputs;
    Embeddings answer;  // has the vectors of the first inputs
  };

  Result<Request> prepare(RequestId id, Embed request) const;
  Status fit(std::vector<Token>& tokens, size_t index, bool may_cut) const;
  [[nodiscard]] size_t batch_end(const Request& request) const;

  Forward& forward_;
  const Vocabulary& vocabulary_;
  Emit emit_;
  std::deque<Request> waiting_;  // the first is being worked on
};

}  // namespace skep::engine
