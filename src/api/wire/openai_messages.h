#pragma once
// The `messages` of OpenAI's chat completions.

#include <vector>

#include "api/wire/fields.h"
#include "mind/language/request.h"

namespace skep::api::wire {

inline constexpr size_t kMostMessages = 2048;

std::vector<language::Message> read_openai_messages(Fields& body);

// `content`: a string, or an array of text parts, which are joined. Images and sound are a 400 that says so.
std::string read_content(Fields& message, std::string_view name);

}  // namespace skep::api::wire
