#pragma once
// AVX-512 with VNNI (-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni): a whole tile's 16 rows in one vector.

#include "kernel/lm/isa_avx2.h"

namespace skep::kernel::lm {
namespace {

struct Avx512Vnni {
  static constexpr int kRows = 16;
  static constexpr int kGroup = 8;
  static constexpr bool kPairs = false;  // whether tokens are multiplied in pairs (isa_neon_i8mm.h)
  static constexpr int vectors(int /*sums*/, int /*tokens*/) { return 1; }  // 16 rows are a tile
  using F32 = __m512;
  using I32 = __m512i;
  using Bytes = __m512i;
  using Dot = __m512i;  // 16 × int32
  using Dot8 = __m512i;
  using Code8 = __m512i;

  SKEP_INLINE Bytes load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
  SKEP_INLINE void store_bytes(uint8_t* p, Bytes w) { _mm512_storeu_si512(p, w); }
  SKEP_INLINE I32 load_ints(const int32_t* p) { return _mm512_loadu_si512(p); }
  SKEP_INLINE void store_ints(int32_t* p, I32 x) { _mm512_storeu_si512(p, x); }
  SKEP_INLINE Bytes low_nibbles(Bytes w) { return _mm512_and_si512(w, _mm512_set1_epi8(15)); }
  SKEP_INLINE Bytes high_nibbles(Bytes w) { return _mm512_and_si512(_mm512_srli_epi16(w, 4), _mm512_set1_epi8(15)); }
  template <int By>  // to the left, or with a negative one to the right
  SKEP_INLINE Bytes shifted(Bytes h) {
    if constexpr (By >= 0) return _mm512_slli_epi16(h, By);
    if constexpr (By < 0) return _mm512_srli_epi16(h, -By);
  }
  template <int G>
  SKEP_INLINE Bytes fifth_bit(Bytes h) {
    return _mm512_and_si512(shifted<4 - G>(h), _mm512_set1_epi8(0x10));
  }
  template <int S>
  SKEP_INLINE Bytes top_bits(Bytes h) {
    return _mm512_and_si512(shifted<4 - S>(h), _mm512_set1_epi8(0x30));
  }
  SKEP_INLINE Bytes either(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }

  SKEP_INLINE Dot accumulate(Dot sum, Bytes codes, const int8_t* a4) {
    int32_t v;
    __builtin_memcpy(&v, a4, 4);
    return _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(v));
  }
  template <int Zero>
  SKEP_INLINE Dot start(const ActivationBlock& a) {
    return _mm512_set1_epi32(-Zero * a.sum);
  }
  SKEP_INLINE Dot start_half(const ActivationBlock& a, int half) {  // zero 32
    return _mm512_set1_epi32(4 * (a.neg8_half[half][0] + a.neg8_half[half][1]));
  }
  SKEP_INLINE Dot dot(Dot sum, Bytes codes, const int8_t* a4) { return accumulate(sum, codes, a4); }
  SKEP_INLINE I32 total(Dot d) { return d; }
  SKEP_INLINE I32 row_scales_i8(const uint8_t* s) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(s)));
  }
  SKEP_INLINE I32 scaled_total(Dot d, I32 s) { return _mm512_mullo_epi32(d, s); }
  SKEP_INLINE I32 add(I32 a, I32 b) { return _mm512_add_epi32(a, b); }

  SKEP_INLINE Code8 split(Bytes codes) { return codes; }
  SKEP_INLINE Dot8 start8() { return _mm512_setzero_si512(); }
  SKEP_INLINE Dot8 dot8(Dot8 sum, Code8 codes, const int8_t* a4) { return accumulate(sum, codes, a4); }
  SKEP_INLINE I32 total8(Dot8 d, const ActivationBlock& a) {
    return _mm512_sub_epi32(d, _mm512_set1_epi32(128 * a.sum));
  }

  SKEP_INLINE F32 zero() { return _mm512_setzero_ps(); }
  SKEP_INLINE F32 set1(float x) { return _mm512_set1_ps(x); }
  SKEP_INLINE F32 load(const float* p) { return _mm512_loadu_ps(p); }
  SKEP_INLINE void store(float* p, F32 x) { _mm512_storeu_ps(p, x); }
  SKEP_INLINE __m256i load_32_bytes(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  SKEP_INLINE __m128i load_16_bytes(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  SKEP_INLINE F32 load_f16(const uint8_t* p) { return _mm512_cvtph_ps(load_32_bytes(p)); }
  SKEP_INLINE F32 load_bf16(const uint8_t* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_32_bytes(p)), 16));
  }
  SKEP_INLINE F32 load_i8(const uint8_t* p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16_bytes(p))); }
  SKEP_INLINE F32 load_u8(const uint8_t* p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_16_bytes(p))); }
  SKEP_INLINE F32 to_float(I32 x) { return _mm512_cvtepi32_ps(x); }
  SKEP_INLINE F32 add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
  SKEP_INLINE F32 sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
  SKEP_INLINE F32 mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
  SKEP_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
  SKEP_INLINE F32 larger(F32 a, F32 b) { return _mm512_max_ps(b, a); }
  SKEP_INLINE F32 smaller(F32 a, F32 b) { return _mm512_min_ps(b, a); }
  SKEP_INLINE F32 negate(F32 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0F)); }
  SKEP_INLINE F32 keep_below(F32 x, F32 y, int first, int limit) {
    const int kept = limit - first;  // 16 rows are a page: first is 0
    const auto mask = static_cast<__mmask16>(kept >= 16 ? 0xffffU : (1U << static_cast<unsigned>(kept)) - 1U);
    return _mm512_mask_blend_ps(mask, y, x);
  }
  SKEP_INLINE F32 scale_by_power(F32 p, F32 s) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(s), 23)));
  }
  SKEP_INLINE __m256 upper(F32 x) { return _mm512_extractf32x8_ps(x, 1); }
  SKEP_INLINE float sum_lanes(F32 x) { return Avx2::sum_lanes(_mm256_add_ps(_mm512_castps512_ps256(x), upper(x))); }
  SKEP_INLINE float max_lanes(F32 x) { return Avx2::max_lanes(_mm256_max_ps(_mm512_castps512_ps256(x), upper(x))); }
};

}  // namespace
}  // namespace skep::kernel::lm
