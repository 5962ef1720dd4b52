#pragma once
// The `context` of /api/generate: an array of integers that a client hands back to go on with a conversation, opaque to
// it. Ollama puts token ids there; we pack the conversation's text, so that it outlives a change of model or template
// and no state is kept here.
//
// Layout: [0x736b70 ("skp"), version 1, length in bytes, then three bytes of UTF-8 JSON per integer, first byte in the
// high bits], where the JSON is [["user","…"],["assistant","…"], …].

#include <boost/json/fwd.hpp>
#include <vector>

#include "api/wire/fields.h"
#include "mind/language/request.h"

namespace skep::api::wire {

// Empty if there is none; 400 for an array that we did not make.
std::vector<language::Message> read_ollama_context(Fields& body);

boost::json::array ollama_context(const std::vector<language::Message>& conversation);

}  // namespace skep::api::wire
