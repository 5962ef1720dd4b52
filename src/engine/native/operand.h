#pragma once
// The right-hand side of a matrix product: one row per token, as int8 blocks for quantized weights, as floats for the
// others, or as both where a model mixes them.

#include <cstring>

#include "engine/native/buffer.h"
#include "kernel/lm/kernels.h"

namespace skep::engine::native {

class Operand {
 public:
  Operand() = default;
  Operand(int rows, int columns, bool quantized, bool floats)
      : columns_(columns),
        stride_(stride_of(columns)),
        blocks_(quantized ? static_cast<size_t>(rows) * static_cast<size_t>(stride_) : 0),
        floats_(floats ? static_cast<size_t>(rows) * static_cast<size_t>(columns) : 0),
        quantized_(quantized),
        has_floats_(floats) {}

  // Blocks from token to token: an odd number of cache lines, so that the same columns of several tokens lie in
  // different sets of the cache.
  static int64_t stride_of(int columns) { return (columns / kernel::lm::kBlock) | 1; }
  [[nodiscard]] int64_t stride() const { return stride_; }

  // Columns [column, column + count) of a row; both multiples of 32.
  void put(const kernel::lm::Kernels& kernels, int row, int column, const float* x, int count) const {
    if (quantized_) kernels.quantize(x, count, blocks(row) + column / kernel::lm::kBlock);
    if (has_floats_) std::memcpy(floats(row) + column, x, static_cast<size_t>(count) * sizeof(float));
  }

  [[nodiscard]] int columns() const { return columns_; }
  [[nodiscard]] kernel::lm::ActivationBlock* blocks(int row) const {
    return quantized_ ? blocks_.data() + row * stride_ : nullptr;
  }
  [[nodiscard]] float* floats(int row) const {
    return has_floats_ ? floats_.data() + static_cast<ptrdiff_t>(row) * columns_ : nullptr;
  }
  [[nodiscard]] size_t bytes() const { return blocks_.bytes() + floats_.bytes(); }

 private:
  int columns_ = 0;
  int64_t stride_ = 0;
  Buffer<kernel::lm::ActivationBlock> blocks_;
  Buffer<float> floats_;
  bool quantized_ = false, has_floats_ = false;
};

}  // namespace skep::engine::native
