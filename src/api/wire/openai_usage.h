#pragma once
// OpenAI's `usage` and `logprobs`.

#include <boost/json/fwd.hpp>
#include <vector>

#include "engine/messages.h"

namespace skep::api::wire {

// Of several choices: their common prompt counts once.
engine::Usage total_usage(const std::vector<engine::Usage>& choices);

boost::json::value openai_usage(const engine::Usage& usage);
boost::json::value openai_logprobs(const std::vector<engine::TokenLogprob>& tokens);

}  // namespace skep::api::wire
