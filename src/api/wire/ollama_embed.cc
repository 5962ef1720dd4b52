#include "api/wire/ollama_embed.h"

#include <boost/json.hpp>
#include <iterator>

#include "api/wire/json_text.h"
#include "api/wire/openai_embeddings.h"

namespace skep::api::wire {

Parsed<OllamaEmbedRequest> parse_ollama_embed(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  OllamaEmbedRequest result;
  result.model = body.required_text("model");
  if (!body.has("input")) body.bad("input", "is required");
  result.input.inputs = body.texts("input", kMostEmbedInputs);
  result.input.truncate = body.boolean("truncate").value_or(true);
  result.dimensions = static_cast<int>(body.integer("dimensions", 1, 1 << 20).value_or(0));
  if (error) return tl::unexpected(*error);
  return result;
}

Parsed<OllamaEmbedRequest> parse_ollama_embeddings(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  std::optional<ApiError> error;
  Fields body(*object, error);
  OllamaEmbedRequest result;
  result.model = body.required_text("model");
  std::string prompt = body.text_or("prompt", "");
  if (!prompt.empty()) result.input.inputs.push_back(std::move(prompt));
  result.input.truncate = true;  // as there
  if (error) return tl::unexpected(*error);
  return result;
}

std::string ollama_embed(const std::string& model, const engine::Embeddings& embeddings, Duration took) {
  std::string out = R"({"model":)" + to_text(boost::json::value(model)) + R"(,"embeddings":[)";
  for (size_t i = 0; i < embeddings.vectors.size(); ++i) {
    if (i > 0) out += ',';
    append_vector(out, embeddings.vectors[i]);
  }
  fmt::format_to(std::back_inserter(out), R"(],"total_duration":{},"load_duration":0,"prompt_eval_count":{}}})",
                 took.count(), embeddings.prompt_tokens);
  return out;
}

std::string ollama_embeddings(const engine::Embeddings& embeddings) {
  std::string out = R"({"embedding":)";
  append_vector(out, embeddings.vectors.empty() ? std::vector<float>() : embeddings.vectors.front());
  return out + "}";
}

}  // namespace skep::api::wire
