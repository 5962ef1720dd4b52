#pragma once
// What is said to servers elsewhere and what their answers mean. Pure: text in, text out.

#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/messages.h"

namespace skep::model {

// openai: what every OpenAI-compatible server takes. llama_server: that, and what llama.cpp's server adds (grammar,
// min_p, tokenize …). ollama: its own API, because the OpenAI-compatible one can't set the context length.
enum class HttpDialect { openai, llama_server, ollama };
const char* to_string(HttpDialect dialect);

struct HttpAsk {
  std::string target;  // "/v1/chat/completions"; below the server's base path
  std::string body;    // JSON
};

// unsupported when the dialect can't say it (a grammar without a schema, token inputs); nothing is dropped silently but
// what only makes an answer faster.
Result<HttpAsk> generate_ask(HttpDialect dialect, const std::string& model, const engine::Generate& request,
                             int context_tokens);
Result<HttpAsk> embed_ask(HttpDialect dialect, const std::string& model, const engine::Embed& request);

// Vectors in the order of the inputs, made unit length. corrupt: not as it should be.
Result<engine::Embeddings> parse_embeddings(HttpDialect dialect, std::string_view body, size_t inputs);
Result<engine::Tokens> parse_tokens(std::string_view body);  // llama-server's /tokenize
Result<std::string> parse_template(std::string_view body);   // llama-server's /apply-template

// What went wrong, by status and body. `server` names it in the message.
Error http_error(int status, std::string_view body, const std::string& server, const std::string& key_variable);

}  // namespace skep::model
