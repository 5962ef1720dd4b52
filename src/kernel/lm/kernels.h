#pragma once
// The kernels of the forward pass as a table per instruction set, chosen once at run time. Every table computes the
// same bits: each output is one fixed sequence of float operations (written down here), whatever the vector width, the
// number of tokens in the call, or the way the work is split over threads. The tests compare tables for equality, not
// for closeness.
//
// Pointers are not null and do not alias unless it is said; sizes are in elements. Nothing allocates, nothing fails.
// Threads: any; a call writes only what it was asked to.
//
// "Sixteen lanes": element i belongs to partial result i % 16, the partials are combined 16 → 8 → 4 → 2 → 1, each step
// adding (or taking the maximum of) the upper half to the lower.

#include <cstdint>
#include <span>

#include "kernel/lm/activation.h"
#include "kernel/lm/format.h"

namespace skep::kernel::lm {

// out[t * out_stride + r] (+)= Σ_k W[r, k] x[t, k] for the rows of tiles [first_tile, last_tile) and all tokens.
//
// Quantized formats, per output and block b = 0, 1, …: n = Σ (code - zero) q as an exact integer (q6_k: Σ s (code - 32)
// q),
//   acc = fma(float(n), w_scale * a_scale, acc);  with an offset also  acc = fma(offset, scaled_sum, acc)
// Float formats: acc = fma(w, x, acc) for k = 0, 1, …
struct GemmArguments {
  Matrix weights;
  const ActivationBlock* quantized = nullptr;  // [tokens][columns / 32], for quantized formats
  int64_t quantized_stride = 0;                // blocks between tokens; 0: columns / 32
  const float* floats = nullptr;               // [tokens][columns], for f16, bf16, f32
  int tokens = 0;
  int first_tile = 0;
  int last_tile = 0;
  float* out = nullptr;
  int64_t out_stride = 0;   // floats between tokens, at least weights.rows
  bool accumulate = false;  // add to what is there (a residual) instead of storing

  [[nodiscard]] int64_t blocks_between_tokens() const {
    return quantized_stride > 0 ? quantized_stride : weights.columns / kBlock;
  }
};

// KV pages hold this many consecutive tokens: one vector of scores.
inline constexpr int kPageTokens = 16;

enum class KvType : uint8_t { f16 = 1, bf16 = 2, q8 = 3 };
const char* to_string(KvType type);

// Where one layer's keys and values of one head lie in a page, in bytes from the page's start.
//   f16, bf16  keys [head_size][16 tokens], values [16 tokens][head_size]
//   q8         the same as int8, each followed by a float scale for each of the 16 tokens
constexpr int64_t kv_head_bytes(KvType type, int head_size) {  // of the keys, and as many of the values
  return type == KvType::q8 ? kPageTokens * (int64_t{head_size} + 4) : int64_t{2} * kPageTokens * head_size;
}

// Puts one token's key (or value) of one head into its place of a page. head_size a multiple of 16.
//   q8: scale = max|x| / 127, q = x * (127 / max|x|) to nearest even
struct KvStoreArguments {
  KvType type = KvType::f16;
  int head_size = 0;
  int slot = 0;  // position % 16
  const float* x = nullptr;
  uint8_t* at = nullptr;  // of the head's keys or values in the page
};

// Attention of some queries of one sequence, all reading one key/value head. Query i sees the tokens at positions
// 0 … visible[i] - 1, visible[i] ≥ 1. Online softmax, page by page in order of position, so a query's result depends on
// nothing but its own context:
//   s[t] = (Σ_d q[d] k[t][d], d in order, by fma) * scale            (q8: * (k_scale[t] * scale))
//   m' = max(m, max s[t]);  c = exp(m - m');  p[t] = exp(s[t] - m'), 0 where not visible
//   l = l * c + Σ p (sixteen lanes);  acc[d] = acc[d] * c, then fma(p[t], v[t][d], acc[d]) for t in order (q8: p[t] *
//   v_scale[t]) out[d] = acc[d] * (1 / l)
struct AttentionArguments {
  KvType type = KvType::f16;
  int head_size = 0;                      // a multiple of 16, at most kMaxHeadSize
  int queries = 0;                        // at most kMaxQueries
  const float* const* q = nullptr;        // [queries] → [head_size]
  float* const* out = nullptr;            // [queries] → [head_size]; may be the same memory as q
  const int* visible = nullptr;           // [queries]
  const uint8_t* const* pages = nullptr;  // of the sequence, in order
  int64_t keys_at = 0, values_at = 0;     // bytes from a page's start to this layer's and head's
  float scale = 1;
};
inline constexpr int kMaxHeadSize = 256;
inline constexpr int kMaxQueries = 32;

struct Kernels {
  const char* name;  // "avx2"
  void (*gemm)(const GemmArguments&);
  // n a multiple of 32.
  void (*quantize)(const float* x, int n, ActivationBlock* out);
  // out[i] = (x[i] * s) * weight[i], s = 1 / sqrt(Σ x² / n + epsilon), the sum by fma in sixteen lanes. n a multiple of
  // 16; out may be x.
  void (*rms_norm)(const float* x, const float* weight, int n, float epsilon, float* out);
  // Rotates `heads` vectors of head_size in place, the first 2 * pairs elements of each: pair i is (x[2 i], x[2 i +
  // 1]), or with `halves` (x[i], x[i + pairs]); (a, b) → (a cos - b sin, a sin + b cos), products rounded before the
  // sum.
  void (*rope)(float* x, int heads, int head_size, int pairs, bool halves, const float* cosine, const float* sine);
  // gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i].
  void (*swiglu)(float* gate, const float* up, int n);
  void (*store_key)(const KvStoreArguments&);
  void (*store_value)(const KvStoreArguments&);
  void (*attention)(const AttentionArguments&);
};

// The plain loops that define the result. Also what runs on a CPU for which there is nothing better.
const Kernels& scalar_kernels();
// All that were compiled in and that this CPU can run, best first; the last is scalar.
std::span<const Kernels* const> available_kernels();
// The first of them, or the one that the environment variable SKEP_KERNELS names.
const Kernels& best_kernels();

}  // namespace skep::kernel::lm
