#pragma once
// How tools, calls and their results are written into a prompt, in the words that the model families were trained on.
// Chat templates know only roles and text (engine::ChatMessage), so all this becomes text.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mind/language/answer_format.h"
#include "mind/language/gbnf.h"
#include "mind/language/request.h"

namespace skep::language {

// By the text or the name of a chat template; an unknown one is read as hermes.
TemplateFamily family_of(std::string_view chat_template);

// invalid_argument for a name that is none, a schema that is no object, a name given twice, or too many.
constexpr size_t kMostTools = 128;
Status check_tools(std::span<const Tool> tools);

// What the system message says about the tools. The tools have been checked.
std::string describe_tools(std::span<const Tool> tools, TemplateFamily family);

// An assistant's message with its calls, and the results of tools as one message; `role` is what the family gives them.
std::string write_calls(const Message& assistant, TemplateFamily family);
std::string write_result(const Message& tool, TemplateFamily family);
std::string_view result_role(TemplateFamily family);

// One call of one of the tools, as plain JSON: the GBNF expression. `key` is "arguments" or "parameters".
Result<std::string> call_expression(std::span<const Tool> tools, std::string_view key, Gbnf& grammar);
// The same as a JSON Schema, for engines that take no grammar. Arguments whose schema has references are any object.
std::string call_schema(std::span<const Tool> tools);

}  // namespace skep::language
