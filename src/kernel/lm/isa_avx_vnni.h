#pragma once
// AVX2 with VNNI in 256 bits (-mavxvnni): vpdpbusd sums four products into 32 bits, so nothing has to be watched for
// overflow and nothing widened. Floats are AVX2's.

#include "kernel/lm/isa_avx2.h"

namespace skep::kernel::lm {
namespace {

struct AvxVnni : Avx2 {
  using Dot = __m256i;  // 8 × int32
  using Dot8 = __m256i;
  using Code8 = __m256i;

  SKEP_INLINE Dot accumulate(Dot sum, Bytes codes, const int8_t* a4) {
    return _mm256_dpbusd_avx_epi32(sum, codes, broadcast(a4));
  }
  template <int Zero>
  SKEP_INLINE Dot start(const ActivationBlock& a) {
    return _mm256_set1_epi32(-Zero * a.sum);
  }
  SKEP_INLINE Dot start_half(const ActivationBlock& a, int half) {  // zero 32
    return _mm256_set1_epi32(4 * (a.neg8_half[half][0] + a.neg8_half[half][1]));
  }
  SKEP_INLINE Dot dot(Dot sum, Bytes codes, const int8_t* a4) { return accumulate(sum, codes, a4); }
  SKEP_INLINE I32 total(Dot d) { return d; }
  SKEP_INLINE I32 row_scales_i8(const uint8_t* s) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(s)));
  }
  SKEP_INLINE I32 scaled_total(Dot d, I32 s) { return _mm256_mullo_epi32(d, s); }

  SKEP_INLINE Code8 split(Bytes codes) { return codes; }
  SKEP_INLINE Dot8 start8() { return _mm256_setzero_si256(); }
  SKEP_INLINE Dot8 dot8(Dot8 sum, Code8 codes, const int8_t* a4) { return accumulate(sum, codes, a4); }
  SKEP_INLINE I32 total8(Dot8 d, const ActivationBlock& a) {
    return _mm256_sub_epi32(d, _mm256_set1_epi32(128 * a.sum));
  }
};

}  // namespace
}  // namespace skep::kernel::lm
