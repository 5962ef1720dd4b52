#include "base/json.h"

#include <boost/json.hpp>

namespace skep {

namespace json = boost::json;

Result<json::value> parse_json(std::string_view text, std::string_view what, const JsonLimits& limits) {
  if (Bytes(static_cast<int64_t>(text.size())) > limits.size) {
    return fail(ErrorCode::too_large,
                fmt::format("{}: {} of JSON, the limit is {}", what,
                            to_string(Bytes(static_cast<int64_t>(text.size()))), to_string(limits.size)));
  }
  json::parse_options options;
  options.max_depth = static_cast<size_t>(limits.depth);
  json::stream_parser parser({}, options);
  boost::system::error_code error;
  size_t read = parser.write_some(text.data(), text.size(), error);
  if (!error && read < text.size()) error = json::error::extra_data;
  if (!error) parser.finish(error);
  if (error) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: not valid JSON at byte {}: {}", what, read, error.message()));
  }
  return parser.release();
}

}  // namespace skep
