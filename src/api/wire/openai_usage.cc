#include "api/wire/openai_usage.h"

#include <algorithm>
#include <boost/json.hpp>

#include "api/wire/json_text.h"

namespace skep::api::wire {

namespace json = boost::json;

engine::Usage total_usage(const std::vector<engine::Usage>& choices) {
  engine::Usage total;
  for (const auto& usage : choices) {
    total.prompt_tokens = std::max(total.prompt_tokens, usage.prompt_tokens);
    total.cached_tokens = std::max(total.cached_tokens, usage.cached_tokens);
    total.completion_tokens += usage.completion_tokens;
  }
  return total;
}

json::value openai_usage(const engine::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

namespace {

// A token may be part of a character: `bytes` has it exactly, `token` with U+FFFD.
json::object token_value(const std::string& text, float logprob) {
  json::array bytes;
  for (unsigned char c : text) bytes.emplace_back(static_cast<int>(c));
  return {{"token", valid_utf8(text)}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

json::value openai_logprobs(const std::vector<engine::TokenLogprob>& tokens) {
  json::array content;
  for (const auto& token : tokens) {
    json::object value = token_value(token.text, token.logprob);
    json::array top;
    for (const auto& [text, logprob] : token.top) top.emplace_back(token_value(text, logprob));
    value.emplace("top_logprobs", std::move(top));
    content.emplace_back(std::move(value));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

}  // namespace skep::api::wire
