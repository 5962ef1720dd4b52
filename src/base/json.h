#pragma once
// JSON with limits and errors that name the place. Boost.JSON itself stays out of this header: those who read or build
// values include <boost/json.hpp> in their .cc files.

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace skep {

struct JsonLimits {
  Bytes size = 8_MiB;
  int depth = 64;
};

// `what` names the text in the error: "request body", "tasks.jsonl:17". Errors name the byte offset.
Result<boost::json::value> parse_json(std::string_view text, std::string_view what, const JsonLimits& limits = {});

}  // namespace skep
