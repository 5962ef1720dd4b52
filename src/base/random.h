#pragma once
// A small seeded generator whose numbers are the same on every machine and library: what is seeded can be repeated.
// xoshiro256++ (Blackman and Vigna, 2019), seeded through SplitMix64. Not for secrets.

#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstdint>

namespace skep {

// SplitMix64's finaliser: a well-mixed value for any input; also serves as a seeded hash of small keys.
constexpr uint64_t mix_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) word = mix_bits(seed++ * 0x9e3779b97f4a7c15ULL);
  }

  uint64_t next() {
    const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound), bound > 0, by Lemire's multiplication (bias below bound / 2^32).
  uint32_t below(uint32_t bound) {
    assert(bound > 0);
    return static_cast<uint32_t>(((next() >> 32) * bound) >> 32);
  }
  // Uniform in [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // Standard normal, by Box and Muller; one of the pair is thrown away to keep the generator without hidden state.
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }

 private:
  std::array<uint64_t, 4> state_{};
};

}  // namespace skep
