// The vector kernels against the scalar reference, on shapes and numbers that the input chooses.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel/belief_kernels.h"
#include "kernel/bfloat16.h"
#include "kernel/packed_own_kernels.h"

using namespace skep::kernel;

namespace {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  // Mostly ordinary probabilities, now and then the edges.
  float probability() {
    const uint8_t b = byte();
    if (b == 0) return 0;
    if (b == 255) return 1e-30F;
    return static_cast<float>(b) / 255;
  }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
};

struct Rows {
  Rows(size_t rows, size_t entries) : stride(entries), data(rows * entries + 16) {
    first = data.data() + (64 - reinterpret_cast<uintptr_t>(data.data()) % 64) % 64 / sizeof(float);
  }
  float* operator[](size_t i) { return first + i * stride; }
  size_t stride;
  std::vector<float> data;
  float* first;
};

void normalise(float* row, size_t n) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += row[i];
  if (!(sum > 1e-20F)) {
    row[0] = sum = 1;
    for (size_t i = 1; i < n; ++i) row[i] = 0;
  }
  for (size_t i = 0; i < n; ++i) row[i] /= sum;
}

// The same agents, each with the matrices as its own, in bfloat16.
void check_packed(size_t states, size_t modalities, const float* B, const float* A,
                  const std::vector<const float*>& source, const std::vector<const float*>& likelihood) {
  const size_t stride = belief_stride<float>(states), n = source.size();
  std::vector<uint16_t> packed_B(states * stride), packed_A(2 * stride);
  std::transform(B, B + packed_B.size(), packed_B.begin(), to_bfloat16);
  std::transform(A, A + packed_A.size(), packed_A.begin(), to_bfloat16);
  std::vector<const uint16_t*> transition(n, packed_B.data()), rows;
  for (const float* row : likelihood) rows.push_back(row == nullptr ? nullptr : packed_A.data() + (row - A));
  Rows fast(n, stride), slow(n, stride), scratch(2, stride);
  std::vector<float*> target, expected;
  for (size_t i = 0; i < n; ++i) {
    target.push_back(fast[i]);
    expected.push_back(slow[i]);
  }
  std::vector<float> z(n), z_expected(n);
  PackedFilterArgs args{states,     n,           transition.data(), source.data(), expected.data(),
                        modalities, rows.data(), z_expected.data(), scratch[0],    1};
  packed_own_kernels_scalar().filter(args);
  args.target = target.data();
  args.evidence = z.data();
  packed_own_kernels().filter(args);
  for (size_t i = 0; i < n; ++i) {
    if (z_expected[i] < 1e-14F) continue;
    if (!(std::abs(z[i] - z_expected[i]) <= 1e-5F * z_expected[i])) std::abort();
    for (size_t s = 0; s < stride; ++s) {
      if (!(std::abs(fast[i][s] - slow[i][s]) <= 2e-5F)) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  const size_t states = 1 + in.byte() % 80;
  const size_t n = 1 + in.byte() % 12;
  const size_t modalities = 1 + in.byte() % 2;
  const size_t stride = belief_stride<float>(states);
  Rows B(states, stride), A(2, stride), q(n, stride), fast(n, stride), slow(n, stride), scratch(16, stride);
  for (size_t s = 0; s < states; ++s) {
    for (size_t i = 0; i < states; ++i) B[s][i] = in.probability();
    normalise(B[s], states);
    A[0][s] = in.probability();
    A[1][s] = in.probability();
  }
  std::vector<const float*> source, likelihood;
  std::vector<float*> target, expected;
  for (size_t i = 0; i < n; ++i) {
    for (size_t s = 0; s < states; ++s) q[i][s] = in.probability();
    normalise(q[i], states);
    source.push_back(q[i]);
    target.push_back(fast[i]);
    expected.push_back(slow[i]);
    for (size_t m = 0; m < modalities; ++m) {
      const uint8_t which = in.byte() % 3;
      likelihood.push_back(which == 2 ? nullptr : A[which]);
    }
  }
  std::vector<float> z(n), z_expected(n);
  FilterArgs<float> args{
      states, B[0], n, source.data(), expected.data(), modalities, likelihood.data(), z_expected.data(), scratch[0]};
  belief_kernels_scalar<float>().filter(args);
  args.target = target.data();
  args.evidence = z.data();
  belief_kernels<float>().filter(args);
  for (size_t i = 0; i < n; ++i) {
    // Close to the impossible the two may take different branches; that is not what is compared.
    if (z_expected[i] < 1e-14F) continue;
    if (!(std::abs(z[i] - z_expected[i]) <= 1e-5F * z_expected[i])) std::abort();
    for (size_t s = 0; s < stride; ++s) {
      if (!(std::abs(fast[i][s] - slow[i][s]) <= 2e-5F)) std::abort();
    }
  }
  check_packed(states, modalities, B[0], A[0], source, likelihood);
  return 0;
}
