#include "engine/synth/tensors.h"

#include <cassert>
#include <cmath>
#include <cstring>

#include "llama.h"

namespace skep::synth {
namespace {

constexpr int64_t kSuperBlock = 256;  // values per block of the K types
constexpr int kPoolBits = 12;
constexpr int64_t kPoolBlocks = int64_t{1} << kPoolBits;

ggml_type plain(WeightType type) {
  switch (type) {
    case WeightType::f32:
      return GGML_TYPE_F32;
    case WeightType::f16:
      return GGML_TYPE_F16;
    case WeightType::bf16:
      return GGML_TYPE_BF16;
    case WeightType::q4_0:
      return GGML_TYPE_Q4_0;
    case WeightType::q8_0:
      return GGML_TYPE_Q8_0;
    case WeightType::q4_k_m:
      return GGML_TYPE_Q4_K;
    case WeightType::q5_k_m:
      return GGML_TYPE_Q5_K;
    case WeightType::q6_k:
      return GGML_TYPE_Q6_K;
  }
  return GGML_TYPE_F32;
}

// What libllama's quantizer takes when rows are no multiple of 256.
ggml_type fitting(ggml_type type, int64_t columns) {
  if (columns % kSuperBlock == 0) return type;
  switch (type) {
    case GGML_TYPE_Q4_K:
      return GGML_TYPE_Q5_0;
    case GGML_TYPE_Q5_K:
      return GGML_TYPE_Q5_1;
    case GGML_TYPE_Q6_K:
      return GGML_TYPE_Q8_0;
    default:
      return type;
  }
}

bool quantized(WeightType type) {
  return type != WeightType::f32 && type != WeightType::f16 && type != WeightType::bf16;
}

// The matrix that makes the logits is the most sensitive one: six bits at least.
ggml_type output_type(WeightType type, int64_t columns) {
  if (!quantized(type) || type == WeightType::q8_0) return plain(type);
  return fitting(GGML_TYPE_Q6_K, columns);
}

// In the _M mixes, v and ffn_down of the first and last eighth of the layers and of every third between have six bits.
ggml_type sensitive_type(WeightType type, int layer, int layers, int64_t columns) {
  const bool mix = type == WeightType::q4_k_m || type == WeightType::q5_k_m;
  const int eighth = layers / 8;
  const bool more = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
  return fitting(mix && more ? GGML_TYPE_Q6_K : plain(type), columns);
}

class Lister {
 public:
  Lister(const Shape& shape, WeightType type) : shape_(shape), type_(type) {}

  std::vector<Tensor> list() {
    shape_.architecture == Architecture::bert ? encoder() : decoder();
    return std::move(list_);
  }

 private:
  void vector(std::string name, int64_t width, float mean, float deviation = 0) {
    list_.push_back({.name = std::move(name), .columns = width, .vector = true, .mean = mean, .deviation = deviation});
  }
  // `gain` over what keeps unit size.
  void matrix(std::string name, int64_t columns, int64_t rows, ggml_type type, double gain = 1) {
    list_.push_back({.name = std::move(name),
                     .columns = columns,
                     .rows = rows,
                     .type = type,
                     .deviation = static_cast<float>(gain / std::sqrt(static_cast<double>(columns)))});
  }

  void decoder() {
    const int64_t width = shape_.embedding;
    const ggml_type logits = output_type(type_, width);
    matrix("token_embd.weight", width, shape_.vocabulary, shape_.tied ? logits : fitting(plain(type_), width), 2);
    for (int i = 0; i < shape_.layers; ++i) decoder_layer(i);
    vector("output_norm.weight", width, 1);
    if (!shape_.tied) matrix("output.weight", width, shape_.vocabulary, logits, 2);
  }

  void decoder_layer(int i) {
    const int64_t width = shape_.embedding, hidden = shape_.feed_forward;
    const int64_t queries = int64_t{shape_.heads} * shape_.head_width();
    const int64_t keys = int64_t{shape_.kv_heads} * shape_.head_width();
    const std::string block = "blk." + std::to_string(i) + ".";
    const ggml_type of_width = fitting(plain(type_), width);

    vector(block + "attn_norm.weight", width, 1);
    matrix(block + "attn_q.weight", width, queries, of_width);
    matrix(block + "attn_k.weight", width, keys, of_width);
    matrix(block + "attn_v.weight", width, keys, sensitive_type(type_, i, shape_.layers, width));
    if (shape_.architecture == Architecture::qwen2) {
      vector(block + "attn_q.bias", queries, 0, 0.1F);
      vector(block + "attn_k.bias", keys, 0, 0.1F);
      vector(block + "attn_v.bias", keys, 0, 0.1F);
    }
    if (shape_.architecture == Architecture::qwen3) {
      vector(block + "attn_q_norm.weight", shape_.head_width(), 1);
      vector(block + "attn_k_norm.weight", shape_.head_width(), 1);
    }
    matrix(block + "attn_output.weight", queries, width, fitting(plain(type_), queries));
    vector(block + "ffn_norm.weight", width, 1);
    matrix(block + "ffn_gate.weight", width, hidden, of_width);
    matrix(block + "ffn_up.weight", width, hidden, of_width);
    matrix(block + "ffn_down.weight", hidden, width, sensitive_type(type_, i, shape_.layers, hidden));
  }

  void encoder() {
    const int64_t width = shape_.embedding, hidden = shape_.feed_forward;
    const ggml_type of_width = fitting(plain(type_), width);
    const auto affine = [&](const std::string& name, int64_t columns, int64_t rows, ggml_type type) {
      matrix(name + ".weight", columns, rows, type);
      vector(name + ".bias", rows, 0, 0.02F);
    };
    const auto norm = [&](const std::string& name) {
      vector(name + ".weight", width, 1);
      vector(name + ".bias", width, 0);
    };
    matrix("token_embd.weight", width, shape_.vocabulary, of_width, 1);
    matrix("position_embd.weight", width, shape_.context, GGML_TYPE_F32, 0.2);
    matrix("token_types.weight", width, 2, GGML_TYPE_F32, 0.1);
    norm("token_embd_norm");
    for (int i = 0; i < shape_.layers; ++i) {
      const std::string block = "blk." + std::to_string(i) + ".";
      affine(block + "attn_q", width, width, of_width);
      affine(block + "attn_k", width, width, of_width);
      affine(block + "attn_v", width, width, of_width);
      affine(block + "attn_output", width, width, of_width);
      norm(block + "attn_output_norm");
      affine(block + "ffn_up", width, hidden, of_width);
      affine(block + "ffn_down", hidden, width, fitting(plain(type_), hidden));
      norm(block + "layer_output_norm");
    }
  }

  const Shape& shape_;
  WeightType type_;
  std::vector<Tensor> list_;
};

// splitmix64 (Steele, Lea, Flood 2014): a counter, hashed; any start is a good start.
uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
  return z ^ z >> 31;
}

// Where the random numbers of a slab begin.
uint64_t start_of(uint64_t seed, uint64_t index, int64_t first) {
  return mix(seed ^ mix(index << 40 ^ static_cast<uint64_t>(first)));
}

constexpr uint64_t kStep = 0x9e3779b97f4a7c15ULL;  // between the counter's values: 2^64 divided by the golden ratio

// Four uniform 16-bit numbers added are near enough to a normal one (Irwin-Hall) at a fraction of the price.
void draw_normal(uint64_t seed, float mean, float deviation, int64_t count, float* out) {
  // The variance of one uniform number on 0 … 65535 is (2^32 − 1) / 12.
  const float scale = deviation / std::sqrt(4 * 4294967295.0F / 12);
  const float shift = mean - scale * 2 * 65535;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t r = mix(seed + static_cast<uint64_t>(i + 1) * kStep);
    const auto sum = static_cast<int32_t>((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48));
    out[i] = shift + scale * static_cast<float>(sum);
  }
}

}  // namespace

std::vector<Tensor> tensors_of(const Shape& shape, WeightType type) { return Lister(shape, type).list(); }

void draw_rows(const Tensor& tensor, uint64_t seed, uint64_t index, int64_t first, int64_t count, float* scratch,
               void* out) {
  assert(first >= 0 && count > 0 && first + count <= tensor.rows);
  draw_normal(start_of(seed, index, first), tensor.mean, tensor.deviation, count * tensor.columns, scratch);
  const size_t written = ggml_quantize_chunk(tensor.type, scratch, out, 0, count, tensor.columns, nullptr);
  assert(written == ggml_row_size(tensor.type, tensor.columns) * static_cast<size_t>(count));
  (void)written;
}

bool BlockPool::suits(const Tensor& tensor) {
  return ggml_blck_size(tensor.type) == kSuperBlock && tensor.rows * tensor.columns > kPoolBlocks * kSuperBlock;
}

BlockPool::BlockPool(const Tensor& tensor, uint64_t seed)
    : block_bytes_(ggml_type_size(tensor.type)), blocks_(block_bytes_ * kPoolBlocks) {
  const Tensor pool{.columns = kSuperBlock,
                    .rows = kPoolBlocks,
                    .type = tensor.type,
                    .mean = tensor.mean,
                    .deviation = tensor.deviation};
  std::vector<float> values(kPoolBlocks * kSuperBlock);
  // The index that no tensor has: its numbers are nobody else's.
  synth::draw_rows(pool, seed, (uint64_t{1} << 24) - 1, 0, kPoolBlocks, values.data(), blocks_.data());
}

void BlockPool::draw_rows(const Tensor& tensor, uint64_t seed, uint64_t index, int64_t first, int64_t count,
                          void* out) const {
  assert(ggml_type_size(tensor.type) == block_bytes_ && tensor.columns % kSuperBlock == 0);
  const uint64_t start = start_of(seed, index, first);
  auto* to = static_cast<char*>(out);
  for (int64_t i = 0; i < count * tensor.columns / kSuperBlock; ++i, to += block_bytes_) {
    const uint64_t block = mix(start + static_cast<uint64_t>(i + 1) * kStep) >> (64 - kPoolBits);
    std::memcpy(to, blocks_.data() + block * block_bytes_, block_bytes_);
  }
}

uint32_t file_type(WeightType type) {
  switch (type) {
    case WeightType::f32:
      return LLAMA_FTYPE_ALL_F32;
    case WeightType::f16:
      return LLAMA_FTYPE_MOSTLY_F16;
    case WeightType::bf16:
      return LLAMA_FTYPE_MOSTLY_BF16;
    case WeightType::q4_0:
      return LLAMA_FTYPE_MOSTLY_Q4_0;
    case WeightType::q8_0:
      return LLAMA_FTYPE_MOSTLY_Q8_0;
    case WeightType::q4_k_m:
      return LLAMA_FTYPE_MOSTLY_Q4_K_M;
    case WeightType::q5_k_m:
      return LLAMA_FTYPE_MOSTLY_Q5_K_M;
    case WeightType::q6_k:
      return LLAMA_FTYPE_MOSTLY_Q6_K;
  }
  return LLAMA_FTYPE_ALL_F32;
}

}  // namespace skep::synth
