#pragma once
// Sampling parameters under the names of OpenAI's API and of the local servers that extend it (top_k, min_p,
// repeat_penalty, ignore_eos).

#include "api/wire/fields.h"
#include "mind/language/request.h"

namespace skep::api::wire {

inline constexpr int64_t kMostTokens = 1 << 20;
inline constexpr size_t kMostStops = 16;
inline constexpr int64_t kMostChoices = 16;

// Everything but the token limit, whose name differs.
void read_sampling(Fields& body, language::Request& input);

}  // namespace skep::api::wire
