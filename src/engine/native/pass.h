#pragma once
// One step through the model: tokens of several sequences in, logits out. The tensors' side of NativeForward; knows
// pages, not who owns them.
//
// Per layer, each item a phase of the team:
//   - norm, if there are more than a few tokens (otherwise every member norms for itself, which is cheaper)
//   - query, key and value of each head: product, bias, norm, rotation; keys and values go straight into their page
//   - attention: a key/value head and some tokens of one sequence at a time
//   - output product, added to the residual stream
//   - norm, as above
//   - gate and up products, SiLU, 32 columns at a time; only their product, as int8, is kept
//   - down product, added to the residual stream
// In the last layer only the tokens whose logits are wanted go on after attention.
//
// Every number is computed by one kernel call with a fixed order of operations, so nothing depends on the batch, on the
// number of threads, or on who computes what.
//
// Thread: run() from one thread at a time, the one that made the team.

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/messages.h"
#include "engine/native/kv_pages.h"
#include "engine/native/operand.h"
#include "engine/native/team.h"
#include "engine/native/weights.h"
#include "kernel/lm/kernels.h"

namespace skep::engine::native {

// Consecutive tokens of one sequence.
struct PassSlice {
  std::span<const Token> tokens;
  int position = 0;                       // of the first
  const uint8_t* const* pages = nullptr;  // of positions 0, 16, …; those that the tokens fall in are writable
  int outputs = 0;                        // logits after each of the last so many
};

class Pass {
 public:
  // At most so many tokens and rows of logits in one run. Weights, kernels and team outlive it. May throw bad_alloc.
  Pass(const Weights& weights, const KvLayout& layout, const kernel::lm::Kernels& kernels, Team& team, int tokens,
       int output_rows);

  // Logits of the outputs in order, [rows][vocabulary]. False: `cancelled` became true in between, and what the pages
  // hold at the slices' positions is undefined. `members`: threads to use.
  bool run(std::span<const PassSlice> slices, int members, const std::atomic<bool>& cancelled, float* logits);

  // Of all buffers; and what they will be.
  [[nodiscard]] Bytes bytes() const;
  static Bytes bytes_for(const Architecture& a, bool quantized, bool floats, int tokens, int output_rows, int threads);

 private:
  // One call of the attention kernel, for every key/value head: consecutive tokens of one slice.
  struct AttentionItem {
    int slice = 0, first = 0, count = 0;  // tokens of the slice
    int token = 0;                        // the first one's row of the step
    int row = 0;                          // the first one's row of the operand
  };
  struct Scratch {  // of one member
    Buffer<float> row, a, b;
    Operand norm;
  };
  // Some rows of the residual stream under a norm. A few of them are normed by every member for itself, when it has
  // its first chunk of the phase that reads them.
  struct Normed {
    const Operand* shared = nullptr;  // null: of the member
    const float* x = nullptr;
    int rows = 0;
    const std::vector<float>* weight = nullptr;
    bool done = false;
  };

  void prepare(std::span<const PassSlice> slices);
  void add_items(std::vector<AttentionItem>& items, int slice, int first, int count, int token, int row);
  void work(Member& member, const std::atomic<bool>& cancelled, float* logits);
  void embed(Member& member);
  Normed norm(Member& member, const float* x, int rows, const std::vector<float>& weight);
  const Operand& operand(const Member& member, Normed& normed);
  void norm_row(Scratch& scratch, const float* x, const std::vector<float>& weight, const Operand& out, int row);
  void heads(Member& member, int layer, Normed in);
  void query(const LayerWeights& w, int head, const Operand& in, int begin, int end);
  void key_or_value(Scratch& scratch, const LayerWeights& w, int layer, int head, bool key, const Operand& in,
                    int begin, int end);
  void attend(Member& member, int layer, std::span<const AttentionItem> items, bool last);
  void attend(int layer, int kv_head, const AttentionItem& item);
  void feed_forward(Member& member, const LayerWeights& w, Normed in, int rows);
  void spread_product(Member& member, const kernel::lm::Matrix& w, Normed in, int rows, float* out, int64_t stride,
                      bool accumulate);
  void product(const kernel::lm::Matrix& w, const Operand& in, int row, int count, int first_tile, int last_tile,
               float* out, int64_t stride, bool accumulate) const;

  const Weights& weights_;
  const Architecture& a_;
  KvLayout layout_;
  const kernel::lm::Kernels& k_;
  Team& team_;

  // Of the step in progress.
  std::span<const PassSlice> slices_;
  int tokens_ = 0, outputs_ = 0;
  std::vector<Token> token_;
  std::vector<int> position_;
  std::vector<uint8_t*> page_;     // that each token's key and value go to
  std::vector<int> output_token_;  // rows of x whose logits are wanted
  std::vector<AttentionItem> items_, last_items_;
  std::atomic<bool> stop_{false};

  Buffer<float> x_;              // residual stream [tokens][embedding]
  Buffer<float> y_;              // the same of the outputs, in the last layer
  Buffer<float> q_;              // [tokens][heads * head_size]; attention's result replaces it
  Buffer<float> cosine_, sine_;  // [tokens][pairs]
  Operand normed_, attended_, gated_;
  std::vector<Scratch> scratch_;  // by member
};

}  // namespace skep::engine::native
