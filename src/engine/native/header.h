#pragma once
// What a GGUF file says about a model, as far as our own forward pass looks at it. Plain data, so that the catalog can
// fill it from its own reader and ask describe() (architecture.h) without libllama, and tests can write it by hand.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skep::engine::native {

struct TensorInfo {
  std::string name;
  uint32_t type = 0;                          // as in the file (ggml_type)
  std::array<int64_t, 4> extent{1, 1, 1, 1};  // innermost first
  int64_t offset = 0;                         // bytes from the beginning of the file
  int64_t bytes = 0;
};

struct ModelHeader {
  std::map<std::string, double, std::less<>> numbers;     // integers, floats and booleans
  std::map<std::string, std::string, std::less<>> texts;  // strings
  std::map<std::string, int64_t, std::less<>> arrays;     // counts of elements
  std::vector<TensorInfo> tensors;
  int64_t file_size = 0;

  [[nodiscard]] const TensorInfo* tensor(std::string_view name) const;
};

// Reads it with libggml. corrupt: not a GGUF file, or one whose tensors are not all inside it; io: no such file.
Result<ModelHeader> read_header(const std::string& path);

}  // namespace skep::engine::native
