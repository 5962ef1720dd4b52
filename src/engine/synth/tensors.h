#pragma once
// Which tensors a shape has, how each is stored and how its values are drawn.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/synth/shape.h"
#include "ggml.h"

namespace skep::synth {

struct Tensor {
  std::string name;
  int64_t columns = 0;  // the inner dimension, ne[0]
  int64_t rows = 1;     // ne[1]; 1: a vector
  bool vector = false;  // stored as one-dimensional
  ggml_type type = GGML_TYPE_F32;
  float mean = 0;
  float deviation = 0;  // 0: every value is `mean`
};

// In file order. Deviations are 1/√columns, so that every layer adds values of about unit size to the residual stream,
// and 2/√embedding in the output matrix, so that logits come out with a deviation of about 2. The stream is not scaled
// down by depth as in training: what the layers add must outweigh the token's own embedding, or a model with tied
// embeddings only repeats its last token.
std::vector<Tensor> tensors_of(const Shape& shape, WeightType type);

// Rows [first, first + count) of the tensor, as stored, to `out` (ggml_row_size · count bytes). A function of (seed,
// index, first row of the slab) alone, hence of neither threads nor time; slabs must always be cut the same way.
// `scratch` holds columns · count floats.
void draw_rows(const Tensor& tensor, uint64_t seed, uint64_t index, int64_t first, int64_t count, float* scratch,
               void* out);

// Quantized blocks to put rows together from. Finding the scales of a K type costs libggml some 80 ns a value, minutes
// for a large model; random weights need not pay that for each value, so large tensors of such a type are made of 4,096
// blocks that were drawn and quantized once for their type and deviation. Immutable, hence thread-safe.
class BlockPool {
 public:
  // Whether `tensor` is of a K type and larger than a pool.
  static bool suits(const Tensor& tensor);

  BlockPool(const Tensor& tensor, uint64_t seed);
  // As draw_rows(), for any tensor of the same type and deviation.
  void draw_rows(const Tensor& tensor, uint64_t seed, uint64_t index, int64_t first, int64_t count, void* out) const;

 private:
  size_t block_bytes_;
  std::vector<char> blocks_;
};

// llama_ftype, for general.file_type.
uint32_t file_type(WeightType type);

}  // namespace skep::synth
