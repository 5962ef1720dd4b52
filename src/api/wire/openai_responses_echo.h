#pragma once
// A response repeats how it was asked for: the fields of the request that clients expect to find in it again, with
// OpenAI's defaults where the request is silent. What this server doesn't do it doesn't claim: nothing is stored, and
// a prompt that is too long is refused, never cut (`truncation` is always "disabled").

#include <boost/json/fwd.hpp>

namespace skep::api::wire {

// `body`: the request, as it passed the parser.
boost::json::object openai_responses_echo(const boost::json::object& body);

}  // namespace skep::api::wire
