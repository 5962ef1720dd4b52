#pragma once
// The shape of a model: everything that decides which tensors a GGUF file holds and how large they are, without a
// single weight. A table of named real shapes stands in shape.cc; any other may be filled in by hand.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace skep::synth {

enum class Architecture {
  llama,  // RMS norm, rotary positions, gated feed-forward
  qwen2,  // llama with biases on q, k and v
  qwen3,  // llama with a norm on every head of q and k
  bert,   // an encoder: learned positions, layer norm after each block, no output matrix
};
const char* to_string(Architecture architecture);  // as in general.architecture

struct Shape {
  std::string name;
  Architecture architecture = Architecture::llama;
  int layers = 0;
  int embedding = 0;      // width of the residual stream
  int heads = 0;          // query heads
  int kv_heads = 0;       // key and value heads; divides heads
  int head_size = 0;      // 0: embedding / heads
  int feed_forward = 0;   // hidden width
  int vocabulary = 0;     // tokens
  int context = 0;        // tokens
  bool tied = false;      // the output matrix is the embedding matrix
  bool adds_bos = false;  // the tokenizer puts a BOS before every prompt
  float rope_base = 10'000.0F;
  float norm_epsilon = 1e-5F;
  std::string like;  // the published model whose dimensions these are

  [[nodiscard]] int head_width() const { return head_size != 0 ? head_size : embedding / heads; }
};

// The named shapes, smallest first. Lives as long as the program.
std::span<const Shape> shapes();
const Shape* find_shape(std::string_view name);  // exact name; null if unknown

// Whether libllama could load it: heads divide, widths are positive and block-aligned (32), the vocabulary holds the
// byte tokens.
Status check(const Shape& shape);

// How the matrices are stored, named as the world names GGUF files. The K types follow libllama's recipe: some layers
// get more bits, and rows that are no multiple of 256 fall back to the nearest type with blocks of 32.
enum class WeightType { f32, f16, bf16, q4_0, q8_0, q4_k_m, q5_k_m, q6_k };
std::span<const WeightType> weight_types();
const char* to_string(WeightType type);  // "Q4_K_M"
// Any case; "q4_k" and "q5_k" mean the _M mixes.
std::optional<WeightType> weight_type_from(std::string_view name);

}  // namespace skep::synth
