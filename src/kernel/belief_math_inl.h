// Logarithm and entropy.
//
// Logarithm, f32. x = 2^e · m with m in [√½, √2); ln x = e ln 2 + t P(t), t = m - 1. P is the degree-8 polynomial whose
// error against ln(1 + t)/t on that interval is at most 2.7e-8 (fitted on 4,000 Chebyshev nodes), so t P(t) is off by
// at most 1.1e-8 from the fit and about 1.5 ulp of |t P(t)| <= 0.35 from rounding (9e-8); e ln 2 is split in two parts
// so that its product is exact to 2^-24 of |ln x|. Together below 2e-7 + 1.2e-7 |ln x|; the test checks every exponent.
//
// Included once per target from belief_kernels.cc, hence the guard that toggles.

#if defined(SKEP_KERNEL_BELIEF_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SKEP_KERNEL_BELIEF_MATH_INL_H
#undef SKEP_KERNEL_BELIEF_MATH_INL_H
#else
#define SKEP_KERNEL_BELIEF_MATH_INL_H
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace skep::kernel::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> Ln(D d, hn::Vec<D> x) {
  using T = hn::TFromD<D>;
  if constexpr (sizeof(T) == 8) {
    return hn::Log(d, x);
  } else {
    const hn::RebindToSigned<D> di;
    // Adding what √½ lacks to 1 moves the split of exponent and mantissa from 1 to √½.
    const auto bits = hn::Add(hn::BitCast(di, x), hn::Set(di, 0x3f800000 - 0x3f3504f3));
    const auto e = hn::ConvertTo(d, hn::Sub(hn::ShiftRight<23>(bits), hn::Set(di, 127)));
    const auto m = hn::BitCast(d, hn::Add(hn::And(bits, hn::Set(di, 0x007fffff)), hn::Set(di, 0x3f3504f3)));
    const auto t = hn::Sub(m, hn::Set(d, 1.0f));
    auto p = hn::Set(d, 0.08959912f);
    p = hn::MulAdd(p, t, hn::Set(d, -0.14482185f));
    p = hn::MulAdd(p, t, hn::Set(d, 0.14917378f));
    p = hn::MulAdd(p, t, hn::Set(d, -0.16543739f));
    p = hn::MulAdd(p, t, hn::Set(d, 0.19958417f));
    p = hn::MulAdd(p, t, hn::Set(d, -0.25002947f));
    p = hn::MulAdd(p, t, hn::Set(d, 0.3333416f));
    p = hn::MulAdd(p, t, hn::Set(d, -0.4999998f));
    p = hn::MulAdd(p, t, hn::Set(d, 1.0f));
    // ln 2 = 0.693145752 (exact in 16 bits, so e · it is exact) + 1.42860677e-6
    const auto low = hn::MulAdd(e, hn::Set(d, 1.42860677e-6f), hn::Mul(p, t));
    return hn::MulAdd(e, hn::Set(d, 0.693145752f), low);
  }
}

// sum - p ln p; nothing for p = 0.
template <class D>
HWY_INLINE hn::Vec<D> SubtractPLnP(D d, hn::Vec<D> p, hn::Vec<D> sum) {
  using T = hn::TFromD<D>;
  const auto positive = hn::Max(p, hn::Set(d, T(1e-37)));
  return hn::NegMulAdd(p, Ln(d, positive), sum);
}

// Short rows are half a cache line: a vector of at most 32 bytes.
template <typename T, class F>
HWY_INLINE void WithTag(size_t states, F&& f) {
  if (belief_stride<T>(states) * sizeof(T) == 32) {
    f(hn::CappedTag<T, 32 / sizeof(T)>());
  } else {
    f(hn::CappedTag<T, 64 / sizeof(T)>());
  }
}

}  // namespace
}  // namespace skep::kernel::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
