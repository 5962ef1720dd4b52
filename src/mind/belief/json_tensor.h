#pragma once
// Nested JSON lists and tensors. Only for .cc files that already know Boost.JSON.

#include <boost/json.hpp>
#include <string>

#include "base/result.h"
#include "mind/belief/tensor.h"

namespace skep::belief {

// Axis 0 is the outermost list. Refuses ragged nesting, what is no number, more than 8 axes and more than `entries`
// numbers; the error names the place: "B[0][2][1]: 3 entries, expected 4".
Result<Tensor> tensor_from_json(const boost::json::value& value, const std::string& name,
                                size_t entries = size_t{1} << 28);
boost::json::value tensor_to_json(const Tensor& tensor);

}  // namespace skep::belief
