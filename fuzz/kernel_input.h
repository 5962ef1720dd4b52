#pragma once
// Operands for kernels out of a fuzzer's bytes.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace skep::fuzz {

class KernelInput {
 public:
  KernelInput(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  // Behind the input's end, what follows from its length: large operands are not all zeros.
  uint8_t byte() {
    if (at_ < size_) return data_[at_++];
    more_ = more_ * 1'664'525U + 1'013'904'223U;
    return static_cast<uint8_t>(more_ >> 24U);
  }
  // 0 … most.
  int up_to(int most) { return (byte() | byte() << 8) % (most + 1); }
  // Finite, of either sign, over many orders of magnitude.
  float number() { return std::ldexp(static_cast<float>(static_cast<int8_t>(byte())), byte() % 24 - 18); }
  std::vector<float> numbers(size_t count) {
    std::vector<float> x(count);
    for (float& f : x) f = number();
    return x;
  }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
  uint32_t more_ = static_cast<uint32_t>(size_);
};

// To the bit, but that any NaN is one.
inline bool same(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  }
  return true;
}

}  // namespace skep::fuzz
