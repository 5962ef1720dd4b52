#pragma once
// The inner product of vectors of signed bytes, what every similarity of a quantized vector comes from. One Highway
// source, compiled for every target and chosen at run time; dot_int8_scalar() is the plain reference. Both give the
// same integer.
//
// Vectors are padded with zeros to a multiple of kVectorStep. Entries lie in [-127, 127], so that 2^16 of them can't
// overflow 32 bits: 65,536 · 127² < 2^31.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace skep::kernel {

constexpr size_t kVectorStep = 32;
constexpr size_t kLongestVector = 65'536;

constexpr size_t padded_length(size_t n) { return (n + kVectorStep - 1) / kVectorStep * kVectorStep; }

// `n` is a multiple of kVectorStep. No alignment is asked of the pointers.
using DotInt8 = int32_t (*)(const int8_t* a, const int8_t* b, size_t n);

int32_t dot_int8_scalar(const int8_t* a, const int8_t* b, size_t n);

struct VectorKernels {
  const char* target;  // Highway's name of what was chosen: "AVX2"
  DotInt8 dot_int8;
};
const VectorKernels& vector_kernels();
// Of every compiled target that this CPU runs. For the differential tests, as every_belief_kernels().
std::vector<VectorKernels> every_vector_kernels();

}  // namespace skep::kernel
