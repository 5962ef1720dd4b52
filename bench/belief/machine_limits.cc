#include "machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "machine_limits.cc"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace skep::bench::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// `rounds` of 12 independent chains of multiply-adds: more than latency times throughput of any core, and they fit 16
// registers. Returns how many floating-point operations that was; the sum keeps the compiler honest.
double MultiplyAdds(size_t rounds, float* sum) {
  const hn::ScalableTag<float> d;
  constexpr size_t kChains = 12;
  hn::Vec<decltype(d)> chain[kChains];
#pragma GCC unroll 16
  for (size_t c = 0; c < kChains; ++c) chain[c] = hn::Set(d, 1.0F + static_cast<float>(c));
  const auto factor = hn::Set(d, 0.9999999F);
  const auto addend = hn::Set(d, 1e-9F);
  for (size_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (size_t c = 0; c < kChains; ++c) chain[c] = hn::MulAdd(chain[c], factor, addend);
  }
  auto total = chain[0];
#pragma GCC unroll 16
  for (size_t c = 1; c < kChains; ++c) total = hn::Add(total, chain[c]);
  *sum = hn::GetLane(hn::SumOfLanes(d, total));
  return 2.0 * static_cast<double>(rounds * kChains * hn::Lanes(d));
}

float Read(const float* data, size_t n) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = hn::Zero(d), c = hn::Zero(d), e = hn::Zero(d);
  for (size_t i = 0; i + 4 * lanes <= n; i += 4 * lanes) {
    a = hn::Add(a, hn::LoadU(d, data + i));
    b = hn::Add(b, hn::LoadU(d, data + i + lanes));
    c = hn::Add(c, hn::LoadU(d, data + i + 2 * lanes));
    e = hn::Add(e, hn::LoadU(d, data + i + 3 * lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
}

}  // namespace

double MultiplyAddsOnce(size_t rounds, float* sum) { return MultiplyAdds(rounds, sum); }
float ReadOnce(const float* data, size_t n) { return Read(data, n); }

}  // namespace skep::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace skep::bench {

HWY_EXPORT(MultiplyAddsOnce);
HWY_EXPORT(ReadOnce);

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double fma_peak(kernel::ThreadPool& pool, double seconds) {
  const auto threads = static_cast<uint32_t>(pool.threads());
  std::vector<double> flops(threads * 8);
  std::vector<float> sums(threads * 16);
  double total = 0;
  const double start = now_seconds();
  double elapsed = 0;
  do {
    // Chunks are small so that a slow core takes fewer of them, as in the workloads.
    pool.run(threads * 8, [&](uint32_t chunk, uint32_t thread) {
      flops[chunk] = HWY_DYNAMIC_DISPATCH(MultiplyAddsOnce)(20'000, &sums[thread * 16]);
    });
    for (double f : flops) total += f;
    elapsed = now_seconds() - start;
  } while (elapsed < seconds);
  volatile float sink = sums[0];
  (void)sink;
  return total / elapsed;
}

ReadBandwidth::ReadBandwidth(size_t bytes) : buffer_(bytes / sizeof(float), 1.0F) {}

double ReadBandwidth::measure(kernel::ThreadPool& pool, double seconds) {
  constexpr size_t kPiece = size_t{1} << 18;  // 1 MiB of floats
  const auto pieces = static_cast<uint32_t>(buffer_.size() / kPiece);
  std::vector<float> sums(static_cast<size_t>(pool.threads()) * 16);
  double bytes = 0;
  const double start = now_seconds();
  double elapsed = 0;
  do {
    pool.run(pieces, [&](uint32_t piece, uint32_t thread) {
      sums[thread * 16] += HWY_DYNAMIC_DISPATCH(ReadOnce)(buffer_.data() + piece * kPiece, kPiece);
    });
    bytes += static_cast<double>(pieces * kPiece * sizeof(float));
    elapsed = now_seconds() - start;
  } while (elapsed < seconds);
  volatile float sink = sums[0];
  (void)sink;
  return bytes / elapsed;
}

}  // namespace skep::bench
#endif
