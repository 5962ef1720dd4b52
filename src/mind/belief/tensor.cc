#include "mind/belief/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cassert>

namespace skep::belief {

size_t Tensor::count(const std::vector<int>& shape) {
  size_t n = 1;
  for (int extent : shape) n *= static_cast<size_t>(extent);
  return n;
}

size_t Tensor::offset(std::initializer_list<int> index) const {
  assert(index.size() == shape.size());
  size_t at = 0;
  size_t axis = 0;
  for (int i : index) {
    assert(i >= 0 && i < shape[axis]);
    at = at * static_cast<size_t>(shape[axis++]) + static_cast<size_t>(i);
  }
  return at;
}

std::string to_string(const std::vector<int>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace skep::belief
