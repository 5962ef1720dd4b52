// The definition, in plain loops. Shares nothing with gemm_inl.h and attention_inl.h, so that a mistake there is not
// made here as well; the elementwise kernels are plain loops anyway.
#include "kernel/lm/elementwise_inl.h"
#include "kernel/lm/targets.h"
#include "kernel/lm/tile_access.h"

namespace skep::kernel::lm {
namespace {

float quantized_product(const Matrix& w, const uint8_t* tile, int r, const ActivationBlock* x) {
  const uint8_t* codes = tile + scales_bytes(w.format, w.columns);
  const int bits = code_bits(w.format), zero = zero_of(w.format);
  float acc = 0;
  for (int b = 0; b < w.columns / kBlock; ++b) {
    int32_t n = 0;
    for (int j = 0; j < kBlock; ++j) {
      const int k = b * kBlock + j;
      const int integer = w.format == Format::q6_k ? scale_at(w.format, tile, r, k).integer : 1;
      n += integer * (code_at(bits, codes, r, k) - zero) * x[b].q[j];
    }
    const ScaleAt s = scale_at(w.format, tile, r, b * kBlock);
    acc = __builtin_fmaf(static_cast<float>(n), s.scale * x[b].scale, acc);
    const bool has_offset =
        w.format == Format::q4_1 || w.format == Format::q5_1 || w.format == Format::q4_k || w.format == Format::q5_k;
    if (has_offset) acc = __builtin_fmaf(s.offset, x[b].scaled_sum, acc);
  }
  return acc;
}

void scalar_gemm(const GemmArguments& g) {
  const Matrix& w = g.weights;
  for (int t = 0; t < g.tokens; ++t) {
    for (int row = g.first_tile * kTileRows; row < g.last_tile * kTileRows && row < w.rows; ++row) {
      const uint8_t* tile = w.data + row / kTileRows * tile_bytes(w.format, w.columns);
      float acc = 0;
      if (is_quantized(w.format)) {
        acc = quantized_product(w, tile, row % kTileRows, g.quantized + t * g.blocks_between_tokens());
      } else {
        const float* x = g.floats + int64_t{t} * w.columns;
        for (int k = 0; k < w.columns; ++k) {
          acc = __builtin_fmaf(float_at(w.format, tile, row % kTileRows, k), x[k], acc);
        }
      }
      float& out = g.out[t * g.out_stride + row];
      out = g.accumulate ? out + acc : acc;
    }
  }
}

float kv_at(KvType type, const uint8_t* head, int64_t element) {
  if (type == KvType::q8) return static_cast<float>(static_cast<int8_t>(head[element]));
  const uint16_t bits = load16(head + 2 * element);
  return type == KvType::f16 ? from_f16(bits) : from_bf16(bits);
}

float kv_scale(const AttentionArguments& a, const uint8_t* head, int t) {
  float scale;
  std::memcpy(&scale, head + int64_t{kPageTokens} * a.head_size + 4 * t, 4);
  return scale;
}

void attend_page(const AttentionArguments& a, int i, int page, float* acc, float& largest, float& total) {
  const uint8_t* keys = a.pages[page] + a.keys_at;
  const uint8_t* values = a.pages[page] + a.values_at;
  const int visible = a.visible[i] - page * kPageTokens;
  float s[kPageTokens], p[kPageTokens] = {};
  float highest = largest;
  for (int t = 0; t < kPageTokens; ++t) {
    s[t] = 0;
    for (int d = 0; d < a.head_size; ++d) {
      s[t] = __builtin_fmaf(a.q[i][d], kv_at(a.type, keys, int64_t{d} * kPageTokens + t), s[t]);
    }
    s[t] *= a.type == KvType::q8 ? kv_scale(a, keys, t) * a.scale : a.scale;
    if (t < visible) highest = larger(highest, s[t]);
  }
  const float c = total > 0 ? exp_fixed(largest - highest) : 0.0F;
  for (int t = 0; t < kPageTokens && t < visible; ++t) p[t] = exp_fixed(s[t] - highest);
  float lanes[kPageTokens];
  std::memcpy(lanes, p, sizeof lanes);
  total = total * c + sum16(lanes);
  largest = highest;
  for (int d = 0; d < a.head_size; ++d) {
    acc[d] *= c;
    for (int t = 0; t < kPageTokens; ++t) {
      const float weight = a.type == KvType::q8 ? p[t] * kv_scale(a, values, t) : p[t];
      acc[d] = __builtin_fmaf(weight, kv_at(a.type, values, int64_t{t} * a.head_size + d), acc[d]);
    }
  }
}

void scalar_attention(const AttentionArguments& a) {
  for (int i = 0; i < a.queries; ++i) {
    float acc[kMaxHeadSize] = {};
    float largest = -__builtin_inff(), total = 0;
    for (int page = 0; page * kPageTokens < a.visible[i]; ++page) attend_page(a, i, page, acc, largest, total);
    const float inverse = 1.0F / total;
    for (int d = 0; d < a.head_size; ++d) a.out[i][d] = acc[d] * inverse + 0.0F;
  }
}

}  // namespace

const Kernels& scalar_kernels() {
  static constexpr Kernels kernels{"scalar", scalar_gemm, quantize,    rms_norm,        rope,
                                   swiglu,   store_key,   store_value, scalar_attention};
  return kernels;
}

}  // namespace skep::kernel::lm
