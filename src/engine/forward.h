#pragma once
// The seam to the tensors: one model, one KV cache, evaluated step by step. What is above (sequences, prefix tree,
// batching, parking, preemption) knows nothing below it. LlamaForward runs everything through libllama, ToyForward is
// for tests; our own forward pass for CPUs comes behind the same interface.
//
// The cache is a pool of cells, one per token. A cell belongs to every sequence id that it was evaluated for or shared
// with, and is free again when the last of them dropped it. A sequence id is nothing but such a set of cells with
// positions; it needs no creation, and may hold a range that does not begin at 0 (a part kept for others).
//
// All on one thread, except cancel().

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/messages.h"

namespace skep::engine {

using SequenceId = int32_t;

struct ForwardLimits {
  int sequences = 0;       // ids are 0 .. sequences - 1
  int cells = 0;           // tokens in the cache, all sequences together; a shared cell counts once
  int context_tokens = 0;  // of one sequence
  int batch_tokens = 0;    // in one step
  int output_rows = 0;     // logits of one step
  int vocabulary = 0;
  int embedding_size = 0;
  bool can_share = true;     // share() works; false: recurrent or sliding-window memory
  bool can_truncate = true;  // drop() of a tail works
  bool can_save = true;      // save() and load() work on any range
};

// Consecutive tokens of one sequence, in one step.
struct Slice {
  SequenceId sequence = 0;
  int position = 0;               // of the first token; all before it are in the cache
  std::span<const Token> tokens;  // not empty
  int outputs = 0;                // logits are wanted after each of the last so many tokens
};

// What a step computes with: 0 is the model as it is, others come from load_adapter().
using AdapterId = int32_t;

class Forward {
 public:
  virtual ~Forward() = default;

  [[nodiscard]] virtual const ForwardLimits& limits() const = 0;

  // Of the cells, those that can still be taken in one go. Fewer than are left where cells come in larger units.
  [[nodiscard]] virtual int free_cells() const { return limits().cells; }

  // Evaluates the slices, each of another sequence. On an error the cache is as it was before: cancelled, overloaded
  // (no cells: the caller's book-keeping is wrong), internal.
  virtual Status step(std::span<const Slice> slices) = 0;

  // The steps that follow compute with this LoRA adapter, at this scale. Cells hold what they were evaluated with: the
  // caller shares and loads them only where it is the same. Ids other than 0 come from load_adapter().
  virtual void use_adapter(AdapterId /*adapter*/, float /*scale*/) {}
  // Reads an adapter of this model. Its bytes are the caller's to have set aside. unsupported: this forward pass has
  // none; not_found, corrupt, invalid_argument (of another model). Never called for one that is loaded.
  virtual Result<AdapterId> load_adapter(const std::string& /*path*/) {
    return fail(ErrorCode::unsupported, "this forward pass has no LoRA adapters");
  }
  // No sequence needs it any more.
  virtual void drop_adapter(AdapterId /*adapter*/) {}

  // Of the last step: rows are counted over its slices in order, Slice::outputs each. Valid until the next step.
  [[nodiscard]] virtual std::span<const float> logits(int row) const = 0;

  // The cells of `from` at positions [begin, end) belong to `to` as well, without a copy. `to` has none there yet.
  virtual void share(SequenceId from, SequenceId to, int begin, int end) = 0;

  // `sequence` gives up its cells at [begin, end). Whole sequences (0 to kEnd) can always be dropped, parts only with
  // can_truncate.
  static constexpr int kEnd = INT32_MAX;
  virtual void drop(SequenceId sequence, int begin, int end) = 0;

  // The contents of cells as bytes, and back, bit-exact, within the same model, options and build. load() puts them at
  // their positions in `sequence`, which has none there, and takes end - begin free cells; wrong bytes are corrupt and
  // leave the cache as it was.
  [[nodiscard]] virtual Result<std::string> save(SequenceId sequence, int begin, int end) = 0;
  virtual Status load(SequenceId sequence, int begin, int end, std::string_view bytes) = 0;

  // One unit-length vector per input, without use of the cache for anything else: only on an engine that was loaded for
  // embeddings.
  virtual Result<std::vector<std::vector<float>>> embed(std::span<const std::vector<Token>> inputs) = 0;

  // How its threads fare beside other processes, since it was made.
  struct Waits {
    Duration stalled{};  // of steps: lost in waiting for threads whose core somebody else had
    int spin_turns = 0;  // that a thread spins now before it sleeps
  };
  // Nothing: it can't tell.
  [[nodiscard]] virtual std::optional<Waits> waits() const { return std::nullopt; }

  // In idle moments: compares a part of what was loaded with its checksums, some milliseconds' worth. True: there is
  // more. corrupt: the engine must not go on; a new one will load what is right.
  virtual Result<bool> verify_some() { return false; }

  // Between steps: how many threads compute. Fewer where other processes want the cores; where it can't be changed,
  // nothing happens.
  virtual void set_threads(int /*threads*/) {}

  // Any thread: ends the step in progress soon with `cancelled`; without one, the next.
  virtual void cancel() = 0;
};

}  // namespace skep::engine
