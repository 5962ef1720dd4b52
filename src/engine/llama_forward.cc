#include "engine/llama_forward.h"

#include <llama.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "engine/llama_library.h"

namespace skep::engine {

// libllama's batch, filled anew for each step.
struct LlamaForward::Batch {
  explicit Batch(int capacity) : batch(llama_batch_init(capacity, 0, 1)) {}
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  ~Batch() { llama_batch_free(batch); }
  void add(Token token, int position, SequenceId sequence, bool output) {
    const int i = batch.n_tokens++;
    batch.token[i] = token;
    batch.pos[i] = position;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = sequence;
    batch.logits[i] = output ? 1 : 0;
  }
  llama_batch batch;
};

LlamaForward::LlamaForward(LlamaModel& model) : model_(model) {
  const llama_model* m = model.model();
  llama_context* context = model.context();
  limits_.cells = static_cast<int>(llama_n_ctx(context));
  limits_.context_tokens = model.loaded().context_tokens;
  limits_.batch_tokens = static_cast<int>(llama_n_ubatch(context));
  limits_.vocabulary = model.loaded().vocabulary;
  limits_.embedding_size = model.loaded().embedding_size;
  passage_ = model.sequences() - 1;
  limits_.sequences = passage_;
  limits_.output_rows = std::min(model.sequences(), limits_.batch_tokens);
  // A recurrent state is one vector for all that was read, and a window forgets: neither has cells to share or cut.
  const bool plain = !llama_model_is_recurrent(m) && !llama_model_is_hybrid(m) && llama_model_n_swa(m) == 0;
  limits_.can_share = limits_.can_truncate = limits_.can_save = plain;
  batch_ = std::make_unique<Batch>(limits_.batch_tokens);
  llama_set_abort_callback(
      context, [](void* self) { return static_cast<LlamaForward*>(self)->cancelled_.load(std::memory_order_relaxed); },
      this);
}

LlamaForward::~LlamaForward() { llama_set_abort_callback(model_.context(), nullptr, nullptr); }

Status LlamaForward::decode(const char* what) {
  try {
    const int rc = llama_decode(model_.context(), batch_->batch);
    if (rc == 0) return {};
    if (rc == 2 || cancelled_.exchange(false)) return fail(ErrorCode::cancelled, "the step was cancelled");
    if (rc == 1) return fail(ErrorCode::overloaded, fmt::format("{}: no free cells in the KV cache", what));
    return fail(ErrorCode::internal, fmt::format("{}: llama_decode gave {}: {}", what, rc, take_llama_errors()));
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::internal, fmt::format("{}: {}", what, thrown.what()));
  }
}

Status LlamaForward::step(std::span<const Slice> slices) {
  if (cancelled_.exchange(false)) return fail(ErrorCode::cancelled, "the step was cancelled");
  batch_->batch.n_tokens = 0;
  rows_.clear();
  for (const Slice& slice : slices) {
    assert(batch_->batch.n_tokens + static_cast<int>(slice.tokens.size()) <= limits_.batch_tokens);
    const auto silent = slice.tokens.size() - static_cast<size_t>(slice.outputs);
    for (size_t i = 0; i < slice.tokens.size(); ++i) {
      if (i >= silent) rows_.push_back(batch_->batch.n_tokens);
      batch_->add(slice.tokens[i], slice.position + static_cast<int>(i), slice.sequence, i >= silent);
    }
  }
  Status done = decode("step");
  if (!done) {
    // What was processed before it failed is in the cache.
    cancelled_ = false;
    for (const Slice& slice : slices) drop(slice.sequence, slice.position, kEnd);
  }
  return done;
}

std::span<const float> LlamaForward::logits(int row) const {
  const float* data = llama_get_logits_ith(model_.context(), rows_.at(static_cast<size_t>(row)));
  assert(data != nullptr);
  return {data, static_cast<size_t>(limits_.vocabulary)};
}

void LlamaForward::share(SequenceId from, SequenceId to, int begin, int end) {
  assert(limits_.can_share && from != to && begin < end);
  llama_memory_seq_cp(llama_get_memory(model_.context()), from, to, begin, end);
}

void LlamaForward::drop(SequenceId sequence, int begin, int end) {
  llama_memory_t memory = llama_get_memory(model_.context());
  if (!llama_memory_seq_rm(memory, sequence, begin, end == kEnd ? -1 : end)) {
    // Only memory that can't be cut refuses, and there only what failed half-way is cut: all of it has to go.
    llama_memory_seq_rm(memory, sequence, -1, -1);
  }
}

void LlamaForward::FreeAdapter::operator()(llama_adapter_lora* adapter) const { llama_adapter_lora_free(adapter); }

Result<AdapterId> LlamaForward::load_adapter(const std::string& path) {
  take_llama_errors();
  try {
    llama_adapter_lora* adapter = llama_adapter_lora_init(model_.model(), path.c_str());
    if (adapter == nullptr) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{} is no LoRA adapter of this model: {}", path, take_llama_errors()));
    }
    adapters_[next_adapter_].reset(adapter);
    return next_adapter_++;
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: {}", path, thrown.what()));
  }
}

void LlamaForward::use_adapter(AdapterId adapter, float scale) {
  if (used_ == std::pair(adapter, scale)) return;
  used_ = {adapter, scale};
  llama_adapter_lora* lora = adapter == 0 ? nullptr : adapters_.at(adapter).get();
  llama_set_adapters_lora(model_.context(), &lora, adapter == 0 ? 0 : 1, &scale);
}

void LlamaForward::drop_adapter(AdapterId adapter) {
  if (used_.first == adapter) use_adapter(0, 1.0F);
  adapters_.erase(adapter);
}

Result<std::string> LlamaForward::save(SequenceId sequence, int begin, int end) {
  assert(limits_.can_save && begin < end);
  llama_context* context = model_.context();
  llama_memory_t memory = llama_get_memory(context);
  try {
    llama_memory_seq_cp(memory, sequence, passage_, begin, end);
    std::string bytes(llama_state_seq_get_size(context, passage_), '\0');
    const size_t written =
        llama_state_seq_get_data(context, reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(), passage_);
    llama_memory_seq_rm(memory, passage_, -1, -1);
    if (written == 0) return fail(ErrorCode::internal, "cells could not be saved: " + take_llama_errors());
    bytes.resize(written);
    return bytes;
  } catch (const std::exception& thrown) {
    llama_memory_seq_rm(memory, passage_, -1, -1);
    return fail(ErrorCode::internal, fmt::format("cells could not be saved: {}", thrown.what()));
  }
}

Status LlamaForward::load(SequenceId sequence, int begin, int end, std::string_view bytes) {
  assert(limits_.can_save && begin < end);
  llama_context* context = model_.context();
  llama_memory_t memory = llama_get_memory(context);
  size_t read = 0;
  try {
    read = llama_state_seq_set_data(context, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), passage_);
  } catch (const std::exception&) {
    read = 0;
  }
  const bool right = read == bytes.size() && llama_memory_seq_pos_min(memory, passage_) == begin &&
                     llama_memory_seq_pos_max(memory, passage_) == end - 1;
  if (right) llama_memory_seq_cp(memory, passage_, sequence, begin, end);
  llama_memory_seq_rm(memory, passage_, -1, -1);
  if (!right) return fail(ErrorCode::corrupt, "saved cells don't fit: " + take_llama_errors());
  return {};
}

Result<std::vector<std::vector<float>>> LlamaForward::embed(std::span<const std::vector<Token>> inputs) {
  std::vector<std::vector<float>> vectors;
  size_t from = 0;
  while (from < inputs.size()) {
    size_t tokens = 0;
    size_t to = from;
    while (to < inputs.size() && to - from < static_cast<size_t>(limits_.sequences) &&
           tokens + inputs[to].size() <= static_cast<size_t>(limits_.batch_tokens)) {
      tokens += inputs[to++].size();
    }
    if (to == from) {
      return fail(ErrorCode::invalid_argument, fmt::format("input {} has {} tokens, this engine takes {}", from,
                                                           inputs[from].size(), limits_.batch_tokens));
    }
    SKEP_CHECK(embed_batch(inputs.subspan(from, to - from), vectors));
    from = to;
  }
  return vectors;
}

void LlamaForward::set_threads(int threads) { llama_set_n_threads(model_.context(), threads, threads); }

Status LlamaForward::embed_batch(std::span<const std::vector<Token>> inputs, std::vector<std::vector<float>>& vectors) {
  llama_context* context = model_.context();
  if (llama_memory_t memory = llama_get_memory(context)) llama_memory_clear(memory, false);
  batch_->batch.n_tokens = 0;
  for (size_t s = 0; s < inputs.size(); ++s) {
    if (inputs[s].empty()) return fail(ErrorCode::invalid_argument, "an input is empty");
    for (size_t i = 0; i < inputs[s].size(); ++i) {
      batch_->add(inputs[s][i], static_cast<int>(i), static_cast<SequenceId>(s), true);
    }
  }
  SKEP_CHECK(decode("embed"));
  for (size_t s = 0; s < inputs.size(); ++s) {
    const float* data = llama_get_embeddings_seq(context, static_cast<llama_seq_id>(s));
    if (data == nullptr) return fail(ErrorCode::internal, "libllama gave no embedding");
    std::vector<float> vector(data, data + limits_.embedding_size);
    double square = 0;
    for (const float x : vector) square += static_cast<double>(x) * x;
    const auto scale = static_cast<float>(square > 0 ? 1 / std::sqrt(square) : 0);
    for (float& x : vector) x *= scale;
    vectors.push_back(std::move(vector));
  }
  return {};
}

}  // namespace skep::engine
