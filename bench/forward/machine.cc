#include "machine.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include "kernel/lm/kernels.h"
#include "kernel/lm/pack.h"

namespace skep::bench {
namespace {

using namespace kernel::lm;

struct Free {
  void operator()(uint8_t* p) const { std::free(p); }
};
using Memory = std::unique_ptr<uint8_t, Free>;
Memory allocate(size_t bytes) { return Memory(static_cast<uint8_t*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64))); }

}  // namespace

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double read_bandwidth(int threads) {
  constexpr size_t kWords = size_t{64} << 20U;  // 512 MiB
  std::vector<uint64_t> buffer(kWords, 1);
  double best = 0;
  for (int round = 0; round < 4; ++round) {
    const double began = seconds_now();
    std::vector<std::thread> readers;
    std::vector<uint64_t> sums(static_cast<size_t>(threads) * 8);
    for (int t = 0; t < threads; ++t) {
      readers.emplace_back([&, t] {
        const size_t share = kWords / static_cast<size_t>(threads), first = share * static_cast<size_t>(t);
        uint64_t lanes[8] = {};
        for (size_t i = first; i + 8 <= first + share; i += 8) {
          for (size_t j = 0; j < 8; ++j) lanes[j] += buffer[i + j];
        }
        for (const uint64_t lane : lanes) sums[static_cast<size_t>(t) * 8] += lane;
      });
    }
    for (std::thread& r : readers) r.join();
    best = std::max(best, static_cast<double>(kWords * sizeof(uint64_t)) / (seconds_now() - began));
  }
  return best;
}

#if defined(__x86_64__)
namespace {
[[gnu::target("avx2")]] double avx2_peak() {
  constexpr int kChains = 12, kTurns = 1 << 16;  // independent of each other: enough to hide the latency
  __m256i sums[kChains] = {};
  __m256i codes = _mm256_set1_epi8(3);
  const __m256i values = _mm256_set1_epi8(1);
  double best = 1e9;
  for (int round = 0; round < 20; ++round) {
    const double began = seconds_now();
    for (int i = 0; i < kTurns; ++i) {
      for (__m256i& sum : sums) {
        __asm__ volatile("" : "+x"(codes));  // for all the compiler knows another product every time
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, values));
      }
    }
    for (__m256i& sum : sums) __asm__ volatile("" : "+x"(sum));
    best = std::min(best, seconds_now() - began);
  }
  return 2.0 * 32 * kChains * kTurns / best;
}
}  // namespace

double int8_peak() { return __builtin_cpu_supports("avx2") ? avx2_peak() : 0; }
#else
double int8_peak() { return 0; }
#endif

double gemm_rate(Format format, int rows, int columns, int tokens) {
  const size_t bytes = static_cast<size_t>(tile_bytes(format, columns) * tiles_of(rows));
  const Memory weights = allocate(bytes);
  std::memset(weights.get(), 0x21, bytes);        // any bytes are weights: small positive scales, codes 1 and 2
  const int64_t stride = (columns / kBlock) | 1;  // as in engine/native/operand.h
  const auto blocks = static_cast<size_t>(tokens) * static_cast<size_t>(stride);
  const Memory operand = allocate(blocks * sizeof(ActivationBlock));
  std::vector<float> x(static_cast<size_t>(tokens) * static_cast<size_t>(columns), 0.5F),
      out(static_cast<size_t>(tokens) * static_cast<size_t>(rows));
  auto* quantized = reinterpret_cast<ActivationBlock*>(operand.get());
  for (int t = 0; t < tokens; ++t) {
    best_kernels().quantize(x.data() + static_cast<ptrdiff_t>(t) * columns, columns, quantized + t * stride);
  }
  GemmArguments g;
  g.weights = {format, rows, columns, weights.get()};
  g.quantized = quantized;
  g.quantized_stride = stride;
  g.tokens = tokens;
  g.last_tile = tiles_of(rows);
  g.out = out.data();
  g.out_stride = rows;
  double best = 1e9;
  for (const double until = seconds_now() + 0.15; seconds_now() < until;) {
    const double began = seconds_now();
    best_kernels().gemm(g);
    best = std::min(best, seconds_now() - began);
  }
  return 2.0 * rows * columns * tokens / best;
}

}  // namespace skep::bench
