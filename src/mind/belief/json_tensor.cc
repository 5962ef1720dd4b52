#include "mind/belief/json_tensor.h"

#include <fmt/format.h>

namespace skep::belief {
namespace {

constexpr int kMostAxes = 8;

Status fill(const boost::json::value& value, const std::string& name, size_t axis, Tensor& tensor) {
  if (axis == tensor.shape.size()) {
    if (value.is_double()) {
      tensor.data.push_back(value.get_double());
    } else if (value.is_int64()) {
      tensor.data.push_back(static_cast<double>(value.get_int64()));
    } else if (value.is_uint64()) {
      tensor.data.push_back(static_cast<double>(value.get_uint64()));
    } else {
      return fail(ErrorCode::invalid_argument, name + ": expected a number");
    }
    return {};
  }
  if (!value.is_array()) return fail(ErrorCode::invalid_argument, name + ": expected a list");
  const auto& list = value.get_array();
  if (list.size() != static_cast<size_t>(tensor.shape[axis])) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: {} entries, expected {}", name, list.size(), tensor.shape[axis]));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    SKEP_CHECK(fill(list[i], fmt::format("{}[{}]", name, i), axis + 1, tensor));
  }
  return {};
}

boost::json::value emit(const Tensor& tensor, size_t axis, size_t& at) {
  if (axis == tensor.shape.size()) return tensor.data[at++];
  boost::json::array list;
  list.reserve(static_cast<size_t>(tensor.shape[axis]));
  for (int i = 0; i < tensor.shape[axis]; ++i) list.push_back(emit(tensor, axis + 1, at));
  return list;
}

}  // namespace

Result<Tensor> tensor_from_json(const boost::json::value& value, const std::string& name, size_t entries) {
  Tensor tensor;
  size_t count = 1;
  for (const boost::json::value* at = &value; at->is_array(); at = &at->get_array().front()) {
    const auto& list = at->get_array();
    if (list.empty()) return fail(ErrorCode::invalid_argument, name + ": an empty list");
    if (tensor.rank() == kMostAxes) return fail(ErrorCode::invalid_argument, name + ": nested too deep");
    if (list.size() > entries / count)
      return fail(ErrorCode::too_large, fmt::format("{}: more than {} entries", name, entries));
    count *= list.size();
    tensor.shape.push_back(static_cast<int>(list.size()));
  }
  if (tensor.shape.empty()) return fail(ErrorCode::invalid_argument, name + ": expected a list");
  SKEP_CHECK(fill(value, name, 0, tensor));
  return tensor;
}

boost::json::value tensor_to_json(const Tensor& tensor) {
  size_t at = 0;
  return emit(tensor, 0, at);
}

}  // namespace skep::belief
