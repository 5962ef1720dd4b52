#pragma once
// A request, in the voice of an agent, as what an engine generates from, and how its answer is to be read.
//
// The system message is built so that as much of its beginning as possible is the same for many tasks, because equal
// beginnings share their KV cells: the roster's preamble, the agent's own prompt, the tools, what the caller's system
// messages say, the format of the answer.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/messages.h"
#include "mind/language/answer_format.h"
#include "mind/language/request.h"

namespace skep::language {

struct PromptContext {
  std::string preamble;       // of the roster: stands first
  std::string system_prompt;  // of the agent
  // What may be shared between callers (Generate::public_bytes): the preamble, and so many bytes of the agent's prompt.
  bool public_preamble = false;
  size_t public_prompt = 0;                    // with public_preamble only
  std::vector<std::string> public_beginnings;  // texts that callers begin with themselves: the longest that fits
  std::string chat_template;  // of the model, its text or name: how tool calls are written; empty: the common way
  bool thinks = false;        // the model reasons in <think> (the capability "thinking")
  bool say_format = true;     // tell the model of the JSON that the grammar will hold it to
  uint64_t id_seed = 0;       // of the ids of tool calls: the task's id, mixed with something random per daemon
};

struct Prompt {
  engine::Generate generate;  // messages or prompt, prefix, stop, grammar, logprobs; sampling is parameters.h's
  AnswerFormat format;        // for AnswerParser
};

// invalid_argument for messages, tools, schemas and stop strings that are none, saying which.
//   - The last message being the assistant's, its text is what the answer begins with.
//   - tool_choice required and named: the whole answer is one call, by a grammar. With tools and a JSON format at once
//     the answer is a call or that JSON.
//   - `think` chooses for models that can reason and means nothing to others; an answer under a grammar does not
//   reason.
//   - raw: the prompt as it is; agent, tools and reasoning don't apply.
Result<Prompt> make_prompt(const Request& request, const PromptContext& context);

}  // namespace skep::language
