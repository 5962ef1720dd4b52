#pragma once
// Runs many generations at once on one forward pass: continuous batching over the slots of a KvCache. Each step() puts
// the next token of every stream and a budgeted part of the prompts into one batch (batch_plan.h), samples, and emits
// what became of it.
//
//  - A prompt that shares its beginning with one that is being evaluated waits for it and takes the cells over, so a
//    preamble that a hundred agents have in common is evaluated once.
//  - Callers share within their scope, and what is public (Generate::public_bytes) with everybody.
//  - A slot goes to the most urgent request, the oldest first. A critical one that finds none preempts the least
//    urgent stream, which goes on later without evaluating anything again.
//  - A step computes with one adapter: sequences that need another take turns with it, step by step.
//  - Cells for a sequence's whole answer are set aside when it gets its slot: a running one is never out of cells.
//
// Single-threaded. Answers come through `emit` from inside start(), cancel() and step(): Piece*, then exactly one
// Finished or Failed per request.

#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "engine/batch_plan.h"
#include "engine/conversation_memo.h"
#include "engine/drafts.h"
#include "engine/forward.h"
#include "engine/kv_cache.h"
#include "engine/public_beginning.h"
#include "engine/score.h"
#include "engine/sequence.h"
#include "engine/wire.h"

namespace skep::engine {

struct GeneratorOptions {
  int slots = 4;             // sequences that are generated at once
  int waiting_limit = 4096;  // requests without a slot; one more is answered with overloaded
  int worth_waiting = 16;    // tokens of a common beginning that make a prompt wait for another
  uint64_t random_seed = 0;  // of the seeds given to requests that bring none
  bool drafts = true;        // guess ahead where it pays (drafts.h)
  Parking* parking = nullptr;
  Bytes adapter_memory;  // for LoRA adapters
};

class Generator {
 public:
  using Emit = std::function<void(RequestId, Message)>;

  Generator(Forward& forward, const Vocabulary& vocabulary, const Clock& clock, GeneratorOptions options, Emit emit);

  void start(RequestId id, Generate request);
  void cancel(RequestId id);
  void cancel_all();  // what they evaluated stays in the cache
  // Answered by Scores or Failed.
  void score(RequestId id, const Score& request);

  // One batch step. False: there is nothing to do.
  bool step();

  // For idle moments: copies of what is in the cache go to the parking lot. False: all are there.
  bool park_some() { return cache_.park_copies(1) > 0; }

  // An estimate of what park_some() has still to save.
  [[nodiscard]] int64_t unparked_bytes() { return cache_.unparked_bytes(); }

  // Entries that an earlier worker parked, beginnings first. False: of no use.
  bool adopt(const Scope& scope, std::span<const Token> prefix, int begin, Parking::Ticket ticket) {
    return cache_.adopt(scope, prefix, begin, ticket);
  }

  // What runs or waits, by its most urgent.
  enum class Load { none, background, urgent };
  [[nodiscard]] Load load() const;
  [[nodiscard]] Heartbeat heartbeat() const;
  [[nodiscard]] const KvCache& cache() const { return cache_; }
  [[nodiscard]] const StepTimes& times() const { return times_; }
  [[nodiscard]] int step_tokens() const { return step_tokens_; }  // evaluated by the last step()

 private:
  using List = std::list<std::unique_ptr<Sequence>>;
  struct Batch {
    std::vector<Slice> slices;
    std::vector<Sequence*> sequences;  // of each slice
    int stream_tokens = 0, prompt_tokens = 0;
    int draft_tokens = 0;  // of the streams'
    AdapterId adapter = 0;
    float adapter_scale = 1;
  };

  Result<std::unique_ptr<Sequence>> prepare(RequestId id, Generate request);
  Status resume(Sequence& sequence);
  Result<std::vector<Token>> prompt_of(const Generate& request, std::string& text);
  void enqueue(std::unique_ptr<Sequence> sequence);

  // Admission (admission.cc).
  void admit();
  enum class Admission { admitted, later, full };  // later: another evaluates what it begins with
  Admission try_admit(Sequence& sequence);
  bool share_from_running(const Sequence& sequence);
  [[nodiscard]] bool fits(const Sequence& sequence);
  std::optional<Slot> free_slot();
  bool preempt_for(const Sequence& sequence);
  void suspend(Sequence& sequence);

  Batch build_batch();
  void keep_one_adapter(std::vector<Sequence*>& order);
  [[nodiscard]] int draft_limit(int streams) const;
  void add_draft(Sequence& sequence, int most, double cost);
  static void drop_draft(Sequence& sequence);
  void settle(const Batch& batch);
  void record_scores(Sequence& sequence, int first_row, int count);
  void sample(Sequence& sequence, int first_row, std::span<const Token> draft);
  bool add_token(Sequence& sequence, Token token, std::span<const float> logits);
  void take_back(Sequence& sequence);
  void finish(Sequence& sequence, FinishReason reason);
  void fail_sequence(Sequence& sequence, Error error);
  void remove(Sequence& sequence);
  void leave_slot(Sequence& sequence);

  Forward& forward_;
  const Vocabulary& vocabulary_;
  const Clock& clock_;
  GeneratorOptions options_;
  Emit emit_;
  KvCache cache_;
  ConversationMemo memo_;
  PublicBeginning public_;
  StepTimes times_;
  int step_tokens_ = 0;
  Drafts drafts_;
  AdapterShelf adapters_;  // outlives the sequences
  Random seeds_;
  List waiting_;  // most urgent first, then the oldest; suspended ones among them
  List running_;  // in the order of admission
  std::vector<bool> slot_taken_;
  size_t rotation_ = 0;
  std::pair<AdapterId, float> last_adapter_{0, 1.0F};  // of the last step
  int64_t prompt_evaluated_ = 0;
  int64_t generated_ = 0;
  int64_t preemptions_ = 0;
};

}  // namespace skep::engine
