#pragma once
// JSON as text for clients: numbers as people write them ("0.5"; Boost.JSON writes 5E-1), NaN and infinities as null,
// and bytes that are no UTF-8 as U+FFFD, so that what leaves here is always valid JSON.

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>

namespace skep::api::wire {

std::string to_text(const boost::json::value& value);

// `text` with every byte that is not part of valid UTF-8 replaced.
std::string valid_utf8(std::string_view text);

}  // namespace skep::api::wire
