#pragma once
// ARMv8.2 with the dot product extension: 4 rows to a vector. Codes are at most 63 and so the same as signed bytes;
// 8-bit ones become signed by flipping their top bit, which takes their zero away as well.

#include <arm_neon.h>

#include "kernel/lm/activation.h"
#include "kernel/lm/inline.h"

namespace skep::kernel::lm {
namespace {

struct NeonDotprod {
  static constexpr int kRows = 4;
  static constexpr int kGroup = 8;
  static constexpr bool kPairs = false;  // whether tokens are multiplied in pairs (isa_neon_i8mm.h)
  static constexpr int vectors(int sums, int tokens) { return sums * tokens <= 8 ? 2 : 1; }
  using F32 = float32x4_t;
  using I32 = int32x4_t;
  using Bytes = uint8x16_t;
  using Dot = int32x4_t;
  using Dot8 = int32x4_t;
  using Code8 = uint8x16_t;

  SKEP_INLINE Bytes load_bytes(const uint8_t* p) { return vld1q_u8(p); }
  SKEP_INLINE void store_bytes(uint8_t* p, Bytes w) { vst1q_u8(p, w); }
  SKEP_INLINE I32 load_ints(const int32_t* p) { return vld1q_s32(p); }
  SKEP_INLINE void store_ints(int32_t* p, I32 x) { vst1q_s32(p, x); }
  SKEP_INLINE Bytes low_nibbles(Bytes w) { return vandq_u8(w, vdupq_n_u8(15)); }
  SKEP_INLINE Bytes high_nibbles(Bytes w) { return vshrq_n_u8(w, 4); }
  template <int By>
  SKEP_INLINE Bytes shifted(Bytes h) {
    if constexpr (By > 0) return vshlq_n_u8(h, By);
    if constexpr (By < 0) return vshrq_n_u8(h, -By);
    if constexpr (By == 0) return h;
  }
  template <int G>
  SKEP_INLINE Bytes fifth_bit(Bytes h) {
    return vandq_u8(shifted<4 - G>(h), vdupq_n_u8(0x10));
  }
  template <int S>
  SKEP_INLINE Bytes top_bits(Bytes h) {
    return vandq_u8(shifted<4 - S>(h), vdupq_n_u8(0x30));
  }
  SKEP_INLINE Bytes either(Bytes a, Bytes b) { return vorrq_u8(a, b); }

  SKEP_INLINE Dot dot(Dot sum, Bytes codes, const int8_t* a4) {
    int32_t v;
    __builtin_memcpy(&v, a4, 4);
    return vdotq_s32(sum, vreinterpretq_s8_u8(codes), vreinterpretq_s8_s32(vdupq_n_s32(v)));
  }
  template <int Zero>
  SKEP_INLINE Dot start(const ActivationBlock& a) {
    return vdupq_n_s32(-Zero * a.sum);
  }
  SKEP_INLINE Dot start_half(const ActivationBlock& a, int half) {  // zero 32
    return vdupq_n_s32(4 * (a.neg8_half[half][0] + a.neg8_half[half][1]));
  }
  SKEP_INLINE I32 total(Dot d) { return d; }
  SKEP_INLINE uint8x8_t load_4_bytes(const uint8_t* p) {
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return vreinterpret_u8_u32(vdup_n_u32(v));
  }
  SKEP_INLINE I32 row_scales_i8(const uint8_t* s) {
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(load_4_bytes(s)))));
  }
  SKEP_INLINE I32 scaled_total(Dot d, I32 s) { return vmulq_s32(d, s); }
  SKEP_INLINE I32 add(I32 a, I32 b) { return vaddq_s32(a, b); }

  SKEP_INLINE Code8 split(Bytes codes) { return veorq_u8(codes, vdupq_n_u8(0x80)); }
  SKEP_INLINE Dot8 start8() { return vdupq_n_s32(0); }
  SKEP_INLINE Dot8 dot8(Dot8 sum, Code8 codes, const int8_t* a4) { return dot(sum, codes, a4); }
  SKEP_INLINE I32 total8(Dot8 d, const ActivationBlock&) { return d; }

  SKEP_INLINE F32 zero() { return vdupq_n_f32(0.0F); }
  SKEP_INLINE F32 set1(float x) { return vdupq_n_f32(x); }
  SKEP_INLINE F32 load(const float* p) { return vld1q_f32(p); }
  SKEP_INLINE void store(float* p, F32 x) { vst1q_f32(p, x); }
  SKEP_INLINE uint16x4_t load_16_bits(const uint8_t* p) {
    uint64_t v;
    __builtin_memcpy(&v, p, 8);
    return vreinterpret_u16_u64(vdup_n_u64(v));
  }
  SKEP_INLINE F32 load_f16(const uint8_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(load_16_bits(p))); }
  SKEP_INLINE F32 load_bf16(const uint8_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(load_16_bits(p), 16)); }
  SKEP_INLINE F32 load_i8(const uint8_t* p) { return vcvtq_f32_s32(row_scales_i8(p)); }
  SKEP_INLINE F32 load_u8(const uint8_t* p) {
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(load_4_bytes(p)))));
  }
  SKEP_INLINE F32 to_float(I32 x) { return vcvtq_f32_s32(x); }
  SKEP_INLINE F32 add(F32 a, F32 b) { return vaddq_f32(a, b); }
  SKEP_INLINE F32 sub(F32 a, F32 b) { return vsubq_f32(a, b); }
  SKEP_INLINE F32 mul(F32 a, F32 b) { return vmulq_f32(a, b); }
  SKEP_INLINE F32 fma(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
  SKEP_INLINE F32 larger(F32 a, F32 b) { return vbslq_f32(vcgtq_f32(b, a), b, a); }
  SKEP_INLINE F32 smaller(F32 a, F32 b) { return vbslq_f32(vcltq_f32(b, a), b, a); }
  SKEP_INLINE F32 negate(F32 a) { return vnegq_f32(a); }
  SKEP_INLINE F32 keep_below(F32 x, F32 y, int first, int limit) {
    const int32_t lanes[4] = {first, first + 1, first + 2, first + 3};
    return vbslq_f32(vcltq_s32(vld1q_s32(lanes), vdupq_n_s32(limit)), x, y);
  }
  SKEP_INLINE F32 scale_by_power(F32 p, F32 s) {
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vreinterpretq_s32_f32(s), 23)));
  }
  SKEP_INLINE float sum_lanes(F32 x) {
    const float32x2_t s = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
  }
  SKEP_INLINE float max_lanes(F32 x) {
    const float a = vgetq_lane_f32(x, 0), b = vgetq_lane_f32(x, 1), c = vgetq_lane_f32(x, 2), d = vgetq_lane_f32(x, 3);
    const float ac = c > a ? c : a, bd = d > b ? d : b;
    return bd > ac ? bd : ac;
  }
};

}  // namespace
}  // namespace skep::kernel::lm
