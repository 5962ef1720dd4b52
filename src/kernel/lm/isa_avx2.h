#pragma once
// AVX2 + FMA + F16C: 8 rows to a vector. There is no 4-way int8 dot product, so vpmaddubsw sums pairs into 16 bits and
// the eight column groups of a block are added there; only the block's total is widened.
//
// Why 16 bits are enough. A pair of products is at most 2 · 63 · 127 = 16,002 in size (6-bit codes), so vpmaddubsw
// never saturates. The accumulator starts from -zero · Σ q of its columns and wraps in between, but what it ends with
// is Σ (code - zero) q over 16 columns (8 in a half block): at most 16 · 16 · 127 or 8 · 32 · 127 = 32,512 in size,
// which fits, and for 4-bit codes without a zero 16 · 15 · 127 = 30,480.

#include <immintrin.h>

#include "kernel/lm/activation.h"
#include "kernel/lm/format.h"
#include "kernel/lm/inline.h"

namespace skep::kernel::lm {
namespace {

struct Avx2 {
  static constexpr int kRows = 8;
  static constexpr int kGroup = 4;  // tokens at most whose sums fit the registers
  // Vectors of rows that a pass computes for so many tokens, with so many sums for each token and vector: what the
  // registers hold.
  static constexpr bool kPairs = false;  // whether tokens are multiplied in pairs (isa_neon_i8mm.h)
  static constexpr int vectors(int sums, int tokens) { return sums * tokens <= 4 ? 2 : 1; }
  using F32 = __m256;
  using I32 = __m256i;
  using Bytes = __m256i;
  using Dot = __m256i;   // 16 × int16: two per row
  using Dot8 = __m256i;  // 8 × int32
  struct Code8 {
    __m256i size, sign;
  };

  SKEP_INLINE Bytes load_bytes(const uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
  SKEP_INLINE void store_bytes(uint8_t* p, Bytes w) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), w); }
  SKEP_INLINE I32 load_ints(const int32_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
  SKEP_INLINE void store_ints(int32_t* p, I32 x) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), x); }
  SKEP_INLINE Bytes low_nibbles(Bytes w) { return _mm256_and_si256(w, _mm256_set1_epi8(15)); }
  SKEP_INLINE Bytes high_nibbles(Bytes w) { return _mm256_and_si256(_mm256_srli_epi16(w, 4), _mm256_set1_epi8(15)); }
  // Bit G of every byte, moved to bit 4.
  template <int G>
  SKEP_INLINE Bytes fifth_bit(Bytes h) {
    const __m256i moved = G <= 4 ? _mm256_slli_epi16(h, G <= 4 ? 4 - G : 0) : _mm256_srli_epi16(h, G <= 4 ? 0 : G - 4);
    return _mm256_and_si256(moved, _mm256_set1_epi8(0x10));
  }
  // Bits S, S + 1 of every byte, moved to bits 4 and 5.
  template <int S>
  SKEP_INLINE Bytes top_bits(Bytes h) {
    const __m256i moved = S <= 4 ? _mm256_slli_epi16(h, S <= 4 ? 4 - S : 0) : _mm256_srli_epi16(h, S <= 4 ? 0 : S - 4);
    return _mm256_and_si256(moved, _mm256_set1_epi8(0x30));
  }
  SKEP_INLINE Bytes either(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }

  // Compilers rebalance a chain of integer additions into a tree, which needs more registers than there are; the chains
  // of a group's tokens are independent enough. This hides the addition from them.
  SKEP_INLINE void keep_order(__m256i& x) { __asm__("" : "+x"(x)); }

  SKEP_INLINE __m256i broadcast(const void* four_bytes) {
    int32_t v;
    __builtin_memcpy(&v, four_bytes, 4);
    return _mm256_set1_epi32(v);
  }
  template <int Zero>
  SKEP_INLINE Dot start(const ActivationBlock& a) {
    static_assert(Zero == 0 || Zero == 8 || Zero == 16);
    if constexpr (Zero == 0) return _mm256_setzero_si256();
    const __m256i neg8 = broadcast(a.neg8);
    return Zero == 8 ? neg8 : _mm256_add_epi16(neg8, neg8);
  }
  SKEP_INLINE Dot start_half(const ActivationBlock& a, int half) {  // zero 32
    return _mm256_slli_epi16(broadcast(a.neg8_half[half]), 2);
  }
  SKEP_INLINE Dot dot(Dot sum, Bytes codes, const int8_t* a4) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, broadcast(a4)));
    keep_order(sum);
    return sum;
  }
  SKEP_INLINE I32 total(Dot d) { return _mm256_madd_epi16(d, _mm256_set1_epi16(1)); }
  // total(d) * s, s one int8 per row given as int32 lanes that hold it twice as int16.
  SKEP_INLINE I32 scaled_total(Dot d, I32 s) { return _mm256_madd_epi16(d, s); }
  SKEP_INLINE I32 row_scales_i8(const uint8_t* s) {
    const __m256i w = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(s)));
    return _mm256_or_si256(_mm256_and_si256(w, _mm256_set1_epi32(0xffff)), _mm256_slli_epi32(w, 16));
  }
  SKEP_INLINE I32 add(I32 a, I32 b) { return _mm256_add_epi32(a, b); }

  // Eight-bit codes (zero 128) go as size and sign: the activation takes the sign over. A pair of products is at most
  // 2 · 128 · 127 = 32,512 in size, which fits 16 bits, and two pairs don't: each is widened.
  SKEP_INLINE Code8 split(Bytes codes) {
    const __m256i w = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
    return {_mm256_abs_epi8(w), w};
  }
  SKEP_INLINE Dot8 start8() { return _mm256_setzero_si256(); }
  SKEP_INLINE Dot8 dot8(Dot8 sum, Code8 codes, const int8_t* a4) {
    const __m256i pairs = _mm256_maddubs_epi16(codes.size, _mm256_sign_epi8(broadcast(a4), codes.sign));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    keep_order(sum);
    return sum;
  }
  SKEP_INLINE I32 total8(Dot8 d, const ActivationBlock&) { return d; }

  SKEP_INLINE F32 zero() { return _mm256_setzero_ps(); }
  SKEP_INLINE F32 set1(float x) { return _mm256_set1_ps(x); }
  SKEP_INLINE F32 load(const float* p) { return _mm256_loadu_ps(p); }
  SKEP_INLINE void store(float* p, F32 x) { _mm256_storeu_ps(p, x); }
  SKEP_INLINE F32 load_f16(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  SKEP_INLINE F32 load_bf16(const uint8_t* p) {
    const __m256i w = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16));
  }
  SKEP_INLINE F32 load_i8(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  SKEP_INLINE F32 load_u8(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  SKEP_INLINE F32 to_float(I32 x) { return _mm256_cvtepi32_ps(x); }
  SKEP_INLINE F32 add(F32 a, F32 b) { return _mm256_add_ps(a, b); }
  SKEP_INLINE F32 mul(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
  SKEP_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
  SKEP_INLINE F32 sub(F32 a, F32 b) { return _mm256_sub_ps(a, b); }
  SKEP_INLINE F32 larger(F32 a, F32 b) { return _mm256_max_ps(b, a); }   // b > a ? b : a
  SKEP_INLINE F32 smaller(F32 a, F32 b) { return _mm256_min_ps(b, a); }  // b < a ? b : a
  // Lanes first, first + 1, … that are below `limit` keep x, the others get y.
  SKEP_INLINE F32 keep_below(F32 x, F32 y, int first, int limit) {
    const __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
    return _mm256_blendv_ps(y, x, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(limit), lane)));
  }
  // p * 2^n, n in the low bits of `shifted` (elementwise_inl.h: exp_fixed).
  SKEP_INLINE F32 scale_by_power(F32 p, F32 shifted) {
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
  }
  // The lanes combined 8 → 4 → 2 → 1, upper half to lower.
  SKEP_INLINE float sum_lanes(F32 x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  SKEP_INLINE float max_lanes(F32 x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  SKEP_INLINE F32 negate(F32 a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0F)); }
};

// elementwise_inl.h: quantize, block by block in registers.
[[maybe_unused]] void quantize_avx2(const float* x, int n, ActivationBlock* out) {
  for (int b = 0; b < n / kBlock; ++b, x += kBlock, ++out) {
    __m256 v[4];
    for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(x + 8 * i);
    const __m256 magnitude = _mm256_set1_ps(-0.0F);
    __m256 most = _mm256_andnot_ps(magnitude, v[0]);
    for (int i = 1; i < 4; ++i) most = _mm256_max_ps(most, _mm256_andnot_ps(magnitude, v[i]));
    const float largest = Avx2::max_lanes(most);
    const __m256 inverse = _mm256_set1_ps(largest > 0 ? 127.0F / largest : 0.0F);
    __m256i q[4];
    for (int i = 0; i < 4; ++i) q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));  // to nearest even
    // Packing works on 128-bit halves; the permutation puts the four-byte groups back into order.
    const __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i bytes = _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_store_si256(reinterpret_cast<__m256i*>(out->q), bytes);
    // Pairs of columns as int16: even lanes are k % 4 < 2, odd ones the rest; the lower half is the first 16 columns.
    __m256i sums = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, 0x4e));
    sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, 0xb1));
    const __m256i neg8 = _mm256_slli_epi16(_mm256_sub_epi16(_mm256_setzero_si256(), sums), 3);
    const __m128i first = _mm256_castsi256_si128(neg8), second = _mm256_extracti128_si256(neg8, 1);
    const int32_t halves[3] = {_mm_cvtsi128_si32(_mm_add_epi16(first, second)), _mm_cvtsi128_si32(first),
                               _mm_cvtsi128_si32(second)};
    __builtin_memcpy(out->neg8, halves, 4);
    __builtin_memcpy(out->neg8_half, halves + 1, 8);
    out->scale = largest / 127.0F;
    out->sum = (out->neg8[0] + out->neg8[1]) / -8;
    out->scaled_sum = out->scale * static_cast<float>(out->sum);
  }
}

}  // namespace
}  // namespace skep::kernel::lm
