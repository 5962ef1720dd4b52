#pragma once
// Two schemas that both have to hold (allOf, or keywords beside anyOf or $ref) as one schema.

#include <boost/json/fwd.hpp>
#include <string>

#include "base/result.h"

namespace skep::language {

// Both hold. `pointer` is the place for errors: invalid_argument for keywords that can't be merged (two different
// patterns, …), naming the keyword.
Result<boost::json::object> merged_schemas(const boost::json::object& a, const boost::json::object& b,
                                           const std::string& pointer);

}  // namespace skep::language
