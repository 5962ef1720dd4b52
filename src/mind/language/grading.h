#pragma once
// Is an answer right? For tasks whose answer is known: examples/eval.jsonl, the demo, `skep model eval`.

#include <string_view>

namespace skep::language {

// True when the answer's last line that isn't blank says what `expected` says: the lines before it are steps that a
// model may write out. JSON is compared as JSON (order of members and white space don't count), text without the
// white space around it. Pure; any thread.
[[nodiscard]] bool says(std::string_view answer, std::string_view expected);

}  // namespace skep::language
