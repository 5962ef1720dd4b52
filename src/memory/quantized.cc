#include "memory/quantized.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace skep::memory {

float inverse_norm(std::span<const int8_t> bytes) {
  const int32_t square = kernel::vector_kernels().dot_int8(bytes.data(), bytes.data(), bytes.size());
  return square == 0 ? 0 : static_cast<float>(1 / std::sqrt(static_cast<double>(square)));
}

QuantizedVector quantize(std::span<const float> vector) {
  assert(vector.size() <= kernel::kLongestVector);
  QuantizedVector result;
  result.bytes.assign(kernel::padded_length(vector.size()), 0);
  float largest = 0;
  for (const float x : vector) largest = std::max(largest, std::abs(x));
  if (largest == 0) return result;
  // In double: 127 / largest overflows a float when the entries are tiny.
  const double scale = 127.0 / static_cast<double>(largest);
  for (size_t i = 0; i < vector.size(); ++i) {
    result.bytes[i] = static_cast<int8_t>(std::lrint(static_cast<double>(vector[i]) * scale));
  }
  result.inverse_norm = inverse_norm(result.bytes);
  return result;
}

}  // namespace skep::memory
