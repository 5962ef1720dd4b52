// Every instruction set's quantization and matrix product against the scalar reference, to the bit, on weights, shapes
// and activations that the input chooses.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel/lm/kernels.h"
#include "kernel/lm/test_matrix.h"
#include "kernel_input.h"

using namespace skep::kernel::lm;
using skep::fuzz::KernelInput;

namespace {

// A few, or about as many as a panel is unpacked for (32).
int token_count(uint8_t byte) {
  const int n = byte % 13;
  return n < 9 ? 1 + n : 23 + 8 * (n - 8) + byte / 13 % 3;
}

void product(KernelInput& in) {
  const Format format = kAllFormats[in.byte() % kFormats];
  const int rows = 1 + in.byte() % 40, columns = 256 * (1 + in.byte() % 2), tokens = token_count(in.byte());
  std::vector<uint8_t> source(static_cast<size_t>(gguf_row_bytes(format, columns) * rows));
  for (uint8_t& b : source) b = in.byte();
  const PackedMatrix packed = pack(format, rows, columns, source);
  const std::vector<float> x = in.numbers(static_cast<size_t>(tokens * columns));
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
    if (!skep::fuzz::same(out, expected)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  KernelInput in(data, size);
  product(in);
  return 0;
}
