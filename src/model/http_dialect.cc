#include "model/http_dialect.h"

#include <boost/json.hpp>
#include <cmath>
#include <utility>

#include "base/json.h"
#include "model/json_fields.h"

namespace skep::model {

namespace json = boost::json;
using json_fields::count_of;
using json_fields::field;
using json_fields::message_of;
using json_fields::number_of;
using json_fields::text_of;

namespace {

constexpr JsonLimits kAnswerLimits{.size = 128_MiB, .depth = 32};  // 2,048 embeddings of 4,096 numbers as text

json::array messages_of(const engine::Generate& request) {
  json::array messages;
  for (const engine::ChatMessage& message : request.messages)
    messages.push_back(json::object{{"role", message.role}, {"content", message.content}});
  // Servers that can continue an answer take it as a last message of the assistant's.
  if (!request.assistant_prefix.empty() && !request.messages.empty())
    messages.push_back(json::object{{"role", "assistant"}, {"content", request.assistant_prefix}});
  return messages;
}

json::array strings(const std::vector<std::string>& from) { return json::array(from.begin(), from.end()); }

Result<json::value> schema_of(const engine::Generate& request) {
  return parse_json(request.json_schema, "JSON schema");
}

// Only what differs from the neutral value is said: many servers refuse parameters that they don't know.
void add_openai_sampling(json::object& body, const engine::Generate& request, bool llama_server) {
  const engine::Sampling& sampling = request.sampling;
  body["temperature"] = sampling.temperature;
  body["max_tokens"] = request.max_tokens;
  if (sampling.top_p < 1) body["top_p"] = sampling.top_p;
  if (sampling.presence_penalty != 0) body["presence_penalty"] = sampling.presence_penalty;
  if (sampling.frequency_penalty != 0) body["frequency_penalty"] = sampling.frequency_penalty;
  if (sampling.seed != 0) body["seed"] = sampling.seed;
  if (!request.stop.empty()) body["stop"] = strings(request.stop);
  if (!sampling.logit_bias.empty()) {
    json::object bias;
    for (const auto& [token, value] : sampling.logit_bias) bias[std::to_string(token)] = value;
    body["logit_bias"] = std::move(bias);
  }
  if (request.logprobs) {
    body["logprobs"] = true;
    body["top_logprobs"] = request.top_logprobs;
  }
  if (!llama_server) return;
  body["top_k"] = sampling.top_k;  // 0 and 1.0: off, where the server's own defaults are not
  body["top_p"] = sampling.top_p;
  body["min_p"] = sampling.min_p;
  body["repeat_penalty"] = sampling.repeat_penalty;
  body["repeat_last_n"] = sampling.penalty_last_n;
  body["cache_prompt"] = true;
  if (request.ignore_eos) body["ignore_eos"] = true;
}

Result<HttpAsk> openai_ask(bool llama_server, const std::string& model, const engine::Generate& request) {
  json::object body{{"model", model}, {"stream", true}, {"stream_options", {{"include_usage", true}}}};
  add_openai_sampling(body, request, llama_server);
  if (llama_server && !request.grammar.empty()) {
    body["grammar"] = request.grammar;
  } else if (!request.json_schema.empty()) {
    SKEP_TRY(json::value schema, schema_of(request));
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"name", "answer"}, {"strict", true}, {"schema", std::move(schema)}}}};
  } else if (!request.grammar.empty()) {
    return fail(ErrorCode::unsupported, "this engine is an OpenAI-compatible server and takes no grammar",
                "give a JSON schema instead");
  }
  if (request.messages.empty()) {
    body["prompt"] = request.prompt + request.assistant_prefix;
    return HttpAsk{"/v1/completions", json::serialize(body)};
  }
  body["messages"] = messages_of(request);
  return HttpAsk{"/v1/chat/completions", json::serialize(body)};
}

Result<HttpAsk> ollama_ask(const std::string& model, const engine::Generate& request, int context_tokens) {
  const engine::Sampling& sampling = request.sampling;
  json::object options{{"temperature", sampling.temperature},
                       {"top_k", sampling.top_k},
                       {"top_p", sampling.top_p},
                       {"min_p", sampling.min_p},
                       {"repeat_penalty", sampling.repeat_penalty},
                       {"presence_penalty", sampling.presence_penalty},
                       {"frequency_penalty", sampling.frequency_penalty},
                       {"repeat_last_n", sampling.penalty_last_n},
                       {"num_predict", request.max_tokens},
                       {"num_ctx", context_tokens}};
  if (sampling.seed != 0) options["seed"] = sampling.seed;
  if (!request.stop.empty()) options["stop"] = strings(request.stop);
  json::object body{{"model", model}, {"stream", true}, {"options", std::move(options)}};
  if (!request.json_schema.empty()) {
    SKEP_TRY(body["format"], schema_of(request));
  } else if (!request.grammar.empty()) {
    return fail(ErrorCode::unsupported, "this engine is an Ollama server and takes no grammar",
                "give a JSON schema instead");
  }
  if (request.logprobs || !sampling.logit_bias.empty())
    return fail(ErrorCode::unsupported, "this engine is an Ollama server: it has no logprobs and no logit_bias");
  if (request.messages.empty()) {
    body["prompt"] = request.prompt + request.assistant_prefix;
    body["raw"] = true;
    return HttpAsk{"/api/generate", json::serialize(body)};
  }
  body["messages"] = messages_of(request);
  return HttpAsk{"/api/chat", json::serialize(body)};
}

Result<std::vector<float>> unit_vector(const json::value& from) {
  const json::array* numbers = from.if_array();
  if (numbers == nullptr || numbers->empty()) return fail(ErrorCode::corrupt, "an embedding is no list of numbers");
  std::vector<float> vector;
  double squares = 0;
  for (const json::value& number : *numbers) {
    boost::system::error_code error;
    double value = number.to_number<double>(error);
    if (error || !std::isfinite(value)) return fail(ErrorCode::corrupt, "an embedding is no list of numbers");
    vector.push_back(static_cast<float>(value));
    squares += value * value;
  }
  if (squares > 0) {
    for (float& value : vector) value = static_cast<float>(value / std::sqrt(squares));
  }
  return vector;
}

}  // namespace

const char* to_string(HttpDialect dialect) {
  switch (dialect) {
    case HttpDialect::openai:
      return "openai";
    case HttpDialect::llama_server:
      return "llama-server";
    case HttpDialect::ollama:
      return "ollama";
  }
  return "unknown";
}

Result<HttpAsk> generate_ask(HttpDialect dialect, const std::string& model, const engine::Generate& request,
                             int context_tokens) {
  if (dialect == HttpDialect::ollama) return ollama_ask(model, request, context_tokens);
  return openai_ask(dialect == HttpDialect::llama_server, model, request);
}

Result<HttpAsk> embed_ask(HttpDialect dialect, const std::string& model, const engine::Embed& request) {
  json::array input = strings(request.inputs);
  for (const auto& tokens : request.token_inputs) input.push_back(json::array(tokens.begin(), tokens.end()));
  json::object body{{"model", model}, {"input", std::move(input)}};
  if (dialect == HttpDialect::ollama) {
    if (!request.token_inputs.empty())
      return fail(ErrorCode::unsupported, "this engine is an Ollama server: it embeds text, not tokens");
    body["truncate"] = request.truncate;
    return HttpAsk{"/api/embed", json::serialize(body)};
  }
  body["encoding_format"] = "float";
  return HttpAsk{"/v1/embeddings", json::serialize(body)};
}

Result<engine::Embeddings> parse_embeddings(HttpDialect dialect, std::string_view body, size_t inputs) {
  SKEP_TRY(json::value answer, parse_json(body, "answer", kAnswerLimits));
  bool ollama = dialect == HttpDialect::ollama;
  const json::value* field_value = field(&answer, ollama ? "embeddings" : "data");
  const json::array* list = field_value == nullptr ? nullptr : field_value->if_array();
  if (list == nullptr || list->size() != inputs) {
    return fail(ErrorCode::corrupt, fmt::format("{} embeddings were asked for, the answer has {}", inputs,
                                                list == nullptr ? 0 : list->size()));
  }
  engine::Embeddings result;
  result.vectors.resize(inputs);
  for (size_t i = 0; i < inputs; ++i) {
    const json::value& entry = (*list)[i];
    size_t place = i;
    if (const json::value* index = ollama ? nullptr : field(&entry, "index"))
      place = static_cast<size_t>(std::max<int64_t>(0, number_of(index)));
    const json::value* vector = ollama ? &entry : field(&entry, "embedding");
    if (vector == nullptr || place >= inputs || !result.vectors[place].empty())
      return fail(ErrorCode::corrupt, "the embeddings of the answer are not those of the inputs");
    SKEP_TRY(result.vectors[place], unit_vector(*vector));
  }
  result.prompt_tokens = ollama ? count_of(field(&answer, "prompt_eval_count"))
                                : count_of(field(field(&answer, "usage"), "prompt_tokens"));
  return result;
}

Result<engine::Tokens> parse_tokens(std::string_view body) {
  SKEP_TRY(json::value answer, parse_json(body, "answer", kAnswerLimits));
  const json::value* list = field(&answer, "tokens");
  if (list == nullptr || !list->is_array()) return fail(ErrorCode::corrupt, "the answer has no tokens");
  engine::Tokens result;
  for (const json::value& token : list->get_array())
    result.tokens.push_back(static_cast<engine::Token>(number_of(&token)));
  return result;
}

Result<std::string> parse_template(std::string_view body) {
  SKEP_TRY(json::value answer, parse_json(body, "answer", kAnswerLimits));
  const json::value* prompt = field(&answer, "prompt");
  if (prompt == nullptr || !prompt->is_string()) return fail(ErrorCode::corrupt, "the answer has no prompt");
  return text_of(prompt);
}

Error http_error(int status, std::string_view body, const std::string& server, const std::string& key_variable) {
  std::string said;
  if (auto answer = parse_json(body, "answer")) said = message_of(*answer);
  if (said.size() > 500) said.resize(500);
  std::string message = fmt::format("{} answered {}{}{}", server, status, said.empty() ? "" : ": ", said);
  // OpenAI and most others name it in `code`, llama-server in `type`.
  if (status == 400 &&
      (body.find("context_length_exceeded") != body.npos || body.find("exceed_context_size_error") != body.npos)) {
    return {ErrorCode::context_overflow, std::move(message), {}};
  }
  switch (status) {
    case 400:
    case 422:
      return {ErrorCode::invalid_argument, std::move(message), {}};
    case 401:
    case 403:
      // Our key, not the caller's: he can do nothing about it.
      return {ErrorCode::unavailable, std::move(message),
              key_variable.empty() ? "name the variable with the key: api_key_env"
                                   : fmt::format("check the key in ${}", key_variable)};
    case 404:
      return {ErrorCode::not_found, std::move(message), {}};
    case 413:
      return {ErrorCode::too_large, std::move(message), {}};
    case 429:
      return {ErrorCode::overloaded, std::move(message), {}};
    default:
      return {ErrorCode::unavailable, std::move(message), {}};
  }
}

}  // namespace skep::model
