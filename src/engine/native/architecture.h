#pragma once
// From a model's header to what the forward pass computes: which of the covered architectures it is, its dimensions,
// and where each of its tensors lies. A model that is not covered gets the reason, and runs through libllama.
//
// Covered: llama (dense), qwen2, qwen3: RMS norm, rotary positions, grouped-query attention, gated SiLU feed-forward.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/native/header.h"
#include "engine/native/rope.h"
#include "kernel/lm/format.h"

namespace skep::engine::native {

struct MatrixInfo {
  std::string name;
  kernel::lm::Format format = kernel::lm::Format::f32;
  int rows = 0, columns = 0;
  int64_t offset = 0;  // bytes from the beginning of the file; rows are contiguous
  [[nodiscard]] explicit operator bool() const { return rows != 0; }
};

struct VectorInfo {  // F32
  std::string name;
  int size = 0;
  int64_t offset = 0;
  [[nodiscard]] explicit operator bool() const { return size != 0; }
};

struct LayerInfo {
  VectorInfo attention_norm, feed_forward_norm;
  MatrixInfo q, k, v, output, gate, up, down;
  VectorInfo q_bias, k_bias, v_bias;  // qwen2, some llama; absent otherwise
  VectorInfo q_norm, k_norm;          // qwen3: over each head
};

struct Architecture {
  std::string name;
  int embedding = 0;  // width of the residual stream
  int heads = 0;      // query heads, kv_heads * group
  int kv_heads = 0;
  int head_size = 0;
  int feed_forward = 0;
  int vocabulary = 0;
  int context = 0;  // tokens the model was trained for
  float norm_epsilon = 0;
  Rope rope;                 // without the factors below
  int original_context = 0;  // longrope: contexts up to this use short_factors, longer ones long_factors
  VectorInfo rope_factors, short_factors, long_factors;
  bool tied = false;  // the output matrix is the embedding matrix
  MatrixInfo embeddings, output;
  VectorInfo output_norm;
  std::vector<LayerInfo> layers;

  [[nodiscard]] int group() const { return heads / kv_heads; }
  [[nodiscard]] int q_width() const { return heads * head_size; }
  [[nodiscard]] int kv_width() const { return kv_heads * head_size; }
};

// unsupported: valid, but not ours to run; the message says what. corrupt: it contradicts itself.
Result<Architecture> describe(const ModelHeader& header);

// The factors that the frequencies are divided by when a sequence may have so many tokens; absent in most models.
const VectorInfo& rope_factors(const Architecture& architecture, int context_tokens);

}  // namespace skep::engine::native
