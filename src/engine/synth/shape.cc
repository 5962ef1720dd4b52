#include "engine/synth/shape.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace skep::synth {
namespace {

using enum Architecture;

// Dimensions as published in each model's own configuration.
const std::array kShapes{
    Shape{.name = "tiny",
          .layers = 2,
          .embedding = 64,
          .heads = 4,
          .kv_heads = 2,
          .feed_forward = 128,
          .vocabulary = 1024,
          .context = 4096,
          .tied = true,
          .like = "nothing: for tests"},
    Shape{.name = "tiny-qwen2",
          .architecture = qwen2,
          .layers = 2,
          .embedding = 64,
          .heads = 4,
          .kv_heads = 2,
          .feed_forward = 128,
          .vocabulary = 1024,
          .context = 4096,
          .tied = true,
          .rope_base = 1e6F,
          .norm_epsilon = 1e-6F,
          .like = "nothing: for tests"},
    Shape{.name = "tiny-qwen3",
          .architecture = qwen3,
          .layers = 2,
          .embedding = 64,
          .heads = 4,
          .kv_heads = 2,
          .head_size = 32,
          .feed_forward = 128,
          .vocabulary = 1024,
          .context = 4096,
          .tied = true,
          .rope_base = 1e6F,
          .norm_epsilon = 1e-6F,
          .like = "nothing: for tests"},
    Shape{.name = "tiny-embed",
          .architecture = bert,
          .layers = 2,
          .embedding = 64,
          .heads = 4,
          .kv_heads = 4,
          .feed_forward = 128,
          .vocabulary = 1024,
          .context = 512,
          .adds_bos = true,
          .norm_epsilon = 1e-12F,
          .like = "nothing: for tests"},
    Shape{.name = "tiny-wide",
          .layers = 2,
          .embedding = 256,
          .heads = 8,
          .kv_heads = 4,
          .feed_forward = 512,
          .vocabulary = 2048,
          .context = 4096,
          .adds_bos = true,
          .like = "nothing: rows wide enough for K types"},
    Shape{.name = "minilm",
          .architecture = bert,
          .layers = 6,
          .embedding = 384,
          .heads = 12,
          .kv_heads = 12,
          .feed_forward = 1536,
          .vocabulary = 30522,
          .context = 512,
          .adds_bos = true,
          .norm_epsilon = 1e-12F,
          .like = "all-MiniLM-L6-v2"},
    Shape{.name = "smollm-135m",
          .layers = 30,
          .embedding = 576,
          .heads = 9,
          .kv_heads = 3,
          .feed_forward = 1536,
          .vocabulary = 49152,
          .context = 8192,
          .tied = true,
          .rope_base = 100'000.0F,
          .like = "SmolLM2-135M"},
    Shape{.name = "smollm-360m",
          .layers = 32,
          .embedding = 960,
          .heads = 15,
          .kv_heads = 5,
          .feed_forward = 2560,
          .vocabulary = 49152,
          .context = 8192,
          .tied = true,
          .rope_base = 100'000.0F,
          .like = "SmolLM2-360M"},
    Shape{.name = "qwen2.5-0.5b",
          .architecture = qwen2,
          .layers = 24,
          .embedding = 896,
          .heads = 14,
          .kv_heads = 2,
          .feed_forward = 4864,
          .vocabulary = 151936,
          .context = 32768,
          .tied = true,
          .rope_base = 1e6F,
          .norm_epsilon = 1e-6F,
          .like = "Qwen2.5-0.5B"},
    Shape{.name = "qwen3-0.6b",
          .architecture = qwen3,
          .layers = 28,
          .embedding = 1024,
          .heads = 16,
          .kv_heads = 8,
          .head_size = 128,
          .feed_forward = 3072,
          .vocabulary = 151936,
          .context = 40960,
          .tied = true,
          .rope_base = 1e6F,
          .norm_epsilon = 1e-6F,
          .like = "Qwen3-0.6B"},
    Shape{.name = "tinyllama",
          .layers = 22,
          .embedding = 2048,
          .heads = 32,
          .kv_heads = 4,
          .feed_forward = 5632,
          .vocabulary = 32000,
          .context = 2048,
          .adds_bos = true,
          .like = "TinyLlama-1.1B"},
    Shape{.name = "llama-3.2-1b",
          .layers = 16,
          .embedding = 2048,
          .heads = 32,
          .kv_heads = 8,
          .feed_forward = 8192,
          .vocabulary = 128256,
          .context = 131072,
          .tied = true,
          .adds_bos = true,
          .rope_base = 500'000.0F,
          .like = "Llama-3.2-1B"},
    Shape{.name = "qwen2.5-coder-7b",
          .architecture = qwen2,
          .layers = 28,
          .embedding = 3584,
          .heads = 28,
          .kv_heads = 4,
          .feed_forward = 18944,
          .vocabulary = 152064,
          .context = 32768,
          .rope_base = 1e6F,
          .norm_epsilon = 1e-6F,
          .like = "Qwen2.5-Coder-7B"},
    Shape{.name = "llama-8b",
          .layers = 32,
          .embedding = 4096,
          .heads = 32,
          .kv_heads = 8,
          .feed_forward = 14336,
          .vocabulary = 128256,
          .context = 131072,
          .adds_bos = true,
          .rope_base = 500'000.0F,
          .like = "Llama-3.1-8B, deepseek-r1:8b"},
};

constexpr std::array kWeightTypes{WeightType::f32,  WeightType::f16,    WeightType::bf16,   WeightType::q4_0,
                                  WeightType::q8_0, WeightType::q4_k_m, WeightType::q5_k_m, WeightType::q6_k};

constexpr int kBlock = 32;  // values that share a scale in the types that every row width must suit
constexpr int kSmallestVocabulary = 512;

}  // namespace

const char* to_string(Architecture architecture) {
  switch (architecture) {
    case llama:
      return "llama";
    case qwen2:
      return "qwen2";
    case qwen3:
      return "qwen3";
    case bert:
      return "bert";
  }
  return "llama";
}

std::span<const Shape> shapes() { return kShapes; }

const Shape* find_shape(std::string_view name) {
  const auto* found = std::find_if(kShapes.begin(), kShapes.end(), [&](const Shape& s) { return s.name == name; });
  return found == kShapes.end() ? nullptr : found;
}

Status check(const Shape& shape) {
  const auto bad = [&](std::string why) {
    return fail(ErrorCode::invalid_argument, fmt::format("shape {}: {}", shape.name, std::move(why)));
  };
  const auto within = [](int value, int least, int most) { return value >= least && value <= most; };
  if (!within(shape.layers, 1, 1024)) return bad("layers must be 1 to 1,024");
  if (!within(shape.embedding, kBlock, 1 << 16) || shape.embedding % kBlock != 0) {
    return bad("the embedding width must be a multiple of 32, at most 65,536");
  }
  if (!within(shape.feed_forward, kBlock, 1 << 18) || shape.feed_forward % kBlock != 0) {
    return bad("the feed-forward width must be a multiple of 32, at most 262,144");
  }
  if (!within(shape.heads, 1, 1024) || !within(shape.kv_heads, 1, shape.heads) || shape.heads % shape.kv_heads != 0) {
    return bad("heads must be 1 to 1,024 and a multiple of kv_heads");
  }
  if (shape.head_size == 0 && shape.embedding % shape.heads != 0) return bad("heads must divide the embedding width");
  if (!within(shape.head_width(), 2, 1024) || shape.head_width() % 2 != 0) return bad("head size must be even");
  if (shape.heads * shape.head_width() % kBlock != 0) return bad("heads × head size must be a multiple of 32");
  if (!within(shape.vocabulary, kSmallestVocabulary, 1 << 20)) {
    return bad(fmt::format("the vocabulary must have {} to 1,048,576 tokens", kSmallestVocabulary));
  }
  if (!within(shape.context, 16, 1 << 24)) return bad("the context must be 16 to 16,777,216 tokens");
  if (shape.architecture == bert && shape.kv_heads != shape.heads) return bad("bert has as many kv_heads as heads");
  return {};
}

std::span<const WeightType> weight_types() { return kWeightTypes; }

const char* to_string(WeightType type) {
  switch (type) {
    case WeightType::f32:
      return "F32";
    case WeightType::f16:
      return "F16";
    case WeightType::bf16:
      return "BF16";
    case WeightType::q4_0:
      return "Q4_0";
    case WeightType::q8_0:
      return "Q8_0";
    case WeightType::q4_k_m:
      return "Q4_K_M";
    case WeightType::q5_k_m:
      return "Q5_K_M";
    case WeightType::q6_k:
      return "Q6_K";
  }
  return "F32";
}

std::optional<WeightType> weight_type_from(std::string_view name) {
  std::string wanted;
  for (char c : name) wanted += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (wanted == "Q4_K" || wanted == "Q5_K") wanted += "_M";
  for (WeightType type : kWeightTypes) {
    if (wanted == to_string(type)) return type;
  }
  return std::nullopt;
}

}  // namespace skep::synth
