#pragma once
// Tools and the shape of the answer, as OpenAI's chat completions and responses write them.

#include "api/wire/fields.h"
#include "mind/language/request.h"

namespace skep::api::wire {

inline constexpr size_t kMostTools = 256;

// Chat completions nest {"type":"function","function":{…}}; responses write the function's fields flat.
enum class ToolShape { nested, flat };

void read_openai_tools(Fields& body, ToolShape shape, language::Request& input);

// chat: `response_format`; responses: `text.format`, where the schema is flat.
language::ResponseFormat read_response_format(Fields& holder, std::string_view name, ToolShape shape);

// `effort`: none and minimal suppress reasoning, the others ask for it.
std::optional<bool> read_effort(Fields& holder, std::string_view name);

}  // namespace skep::api::wire
