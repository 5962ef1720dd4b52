// Every instruction set's quantization and matrix product against the scalar reference, to the bit, on weights, shapes
// and activations that the input chooses.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel/lm/kernels.h"
#include "kernel/lm/test_matrix.h"

using namespace skep::kernel::lm;

namespace {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  // Behind the input's end, what follows from its length: large operands are not all zeros.
  uint8_t byte() {
    if (at_ < size_) return data_[at_++];
    more_ = more_ * 1'664'525U + 1'013'904'223U;
    return static_cast<uint8_t>(more_ >> 24U);
  }
  // Finite, of either sign, over many orders of magnitude.
  float number() { return std::ldexp(static_cast<float>(static_cast<int8_t>(byte())), byte() % 24 - 18); }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
  uint32_t more_ = static_cast<uint32_t>(size_);
};

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  }
  return true;
}

// A few, or about as many as a panel is unpacked for (32).
int token_count(uint8_t byte) {
  const int n = byte % 13;
  return n < 9 ? 1 + n : 23 + 8 * (n - 8) + byte / 13 % 3;
}

void product(Input& in) {
  const Format format = kAllFormats[in.byte() % kFormats];
  const int rows = 1 + in.byte() % 40, columns = 256 * (1 + in.byte() % 2), tokens = token_count(in.byte());
  std::vector<uint8_t> source(static_cast<size_t>(gguf_row_bytes(format, columns) * rows));
  for (uint8_t& b : source) b = in.byte();
  const PackedMatrix packed = pack(format, rows, columns, source);
  std::vector<float> x(static_cast<size_t>(tokens * columns));
  for (float& f : x) f = in.number();
  Aligned<ActivationBlock> q(x.size() / kBlock), plain(x.size() / kBlock);
  scalar_kernels().quantize(x.data(), tokens * columns, plain.data());
  GemmArguments g;
  g.weights = packed.matrix;
  g.quantized = plain.data();
  g.floats = x.data();
  g.tokens = tokens;
  g.last_tile = packed.matrix.tiles();
  g.out_stride = rows;
  std::vector<float> expected(static_cast<size_t>(tokens * rows)), out = expected;
  g.out = expected.data();
  scalar_kernels().gemm(g);
  for (const Kernels* kernels : available_kernels()) {
    kernels->quantize(x.data(), tokens * columns, q.data());
    for (size_t i = 0; i < x.size() / kBlock; ++i) {
      if (std::memcmp(q.data() + i, plain.data() + i, 52) != 0) std::abort();
    }
    g.out = out.data();
    kernels->gemm(g);
    if (!same(out, expected)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  product(in);
  return 0;
}
