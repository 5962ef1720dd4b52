#pragma once
// What agents and people remember with, as the daemon offers it: long-term facts whose vectors it gets itself, core
// blocks and short-term values. Lives on the event loop; answers come on the loop, never from inside the call.
//
// Without an embedding model facts are found by their words alone, and statistics() says why. Facts that have no vector
// of the present model get one in the background, some at a time.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/gate.h"
#include "memory/blocks.h"
#include "memory/embedder.h"
#include "memory/memory_thread.h"
#include "store/key_value.h"

namespace skep::memory {

struct MemoryStatistics {
  LongTermStatistics long_term;
  std::string vectors;  // "by nomic-embed", or why there are none
  Embedder::Counters embedder;
};

struct Forgotten {
  size_t facts = 0, blocks = 0, values = 0;
};

class MemoryService {
 public:
  // All outlive this. `values` hold short-term memory and blocks.
  // `quick`: reading a value takes microseconds (LMDB), so that core_text() may do it on the loop.
  MemoryService(EventLoop& loop, Embedder& embedder, MemoryThread& facts, store::KeyValue& values, bool quick);
  ~MemoryService();
  MemoryService(const MemoryService&) = delete;
  MemoryService& operator=(const MemoryService&) = delete;

  template <typename T>
  using Done = std::function<void(Result<T>)>;

  // Vectors are made here: `facts` and `query` bring none. A time that is not set is now.
  void add(std::vector<NewFact> facts, Done<std::vector<Added>> done);
  void search(Query query, Done<std::vector<Hit>> done);
  void list(Filter filter, FactId after, size_t limit, Done<std::vector<Fact>> done);
  void forget(std::vector<FactId> ids, Done<size_t> done);
  void forget(Filter filter, Done<size_t> done);
  void keep_newest(Filter filter, size_t most, WallTime oldest, Done<size_t> done);  // retention.h
  // Everything about the agent: facts, blocks and values.
  void forget_agent(std::string agent, Done<Forgotten> done);
  void statistics(Done<MemoryStatistics> done);

  // The agent's core blocks as they stand in its prompt. From a server they may be a second old, and are empty at the
  // first question.
  std::string core_text(const std::string& agent);

  // Short-term values of an agent; "" stands for everybody. Keys with expiry, counters and lists, as KeyValue has them.
  static std::string space_of(const std::string& agent) { return agent.empty() ? "shared" : "agent:" + agent; }
  // `work` on a thread for blocking calls, with the values and the blocks.
  template <typename Work, typename Finish>
  void with_values(Work work, Finish done) {
    using Answer = std::invoke_result_t<Work&, store::KeyValue&, Blocks&>;
    auto answer = std::make_shared<std::optional<Answer>>();
    loop_.blocking([this, gate = gate_, answer,
                    work = std::move(work)]() mutable { gate->pass([&] { answer->emplace(work(values_, blocks_)); }); },
                   [alive = alive_, answer, done = std::move(done)]() mutable {
                     if (*alive) done(std::move(**answer));
                   });
  }

 private:
  // `done` gets one vector per text (nullptr: the model can't take it), or none at all where there is no model or it
  // fails; the store knows whose they are.
  void vectors_of(const std::vector<std::string>& texts, std::function<void(std::vector<Vector>)> done);
  void fill_in();
  void fill_in_later(Duration delay);

  EventLoop& loop_;
  Embedder& embedder_;
  MemoryThread& facts_;
  store::KeyValue& values_;
  Blocks blocks_;
  bool quick_;
  struct Core {
    std::string text;
    TimePoint asked{};
  };
  std::unordered_map<std::string, Core> cores_;  // of a server; bounded by the roster's agents
  std::string told_;                             // the embedder's identity as the store knows it
  TimerId fill_timer_ = TimerId::none;
  bool filling_ = false;
  FactId filled_to_ = 0;  // facts up to this one were asked for in this round
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();  // what waits in the blocking pool may come after this ended
};

}  // namespace skep::memory
