#pragma once
// A dense f64 array in C order (the last index varies fastest), with its shape: how a generative model is written down.
// The engines copy models into layouts of their own; nothing here is meant for inner loops.

#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace skep::belief {

struct Tensor {
  std::vector<int> shape;
  std::vector<double> data;

  Tensor() = default;
  explicit Tensor(std::vector<int> dimensions) : shape(std::move(dimensions)), data(count(shape), 0.0) {}
  Tensor(std::vector<int> dimensions, std::vector<double> values)
      : shape(std::move(dimensions)), data(std::move(values)) {}

  [[nodiscard]] size_t size() const { return data.size(); }
  [[nodiscard]] bool empty() const { return data.empty(); }
  [[nodiscard]] int rank() const { return static_cast<int>(shape.size()); }
  [[nodiscard]] size_t offset(std::initializer_list<int> index) const;  // asserts rank and bounds
  [[nodiscard]] double& at(std::initializer_list<int> index) { return data[offset(index)]; }
  [[nodiscard]] double at(std::initializer_list<int> index) const { return data[offset(index)]; }

  static size_t count(const std::vector<int>& shape);

  friend bool operator==(const Tensor&, const Tensor&) = default;
};

// "[2, 3, 4]".
std::string to_string(const std::vector<int>& shape);

}  // namespace skep::belief
