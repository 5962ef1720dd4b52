#pragma once
// POST /api/embed, and the older /api/embeddings.

#include "api/backend.h"
#include "api/wire/fields.h"

namespace skep::api::wire {

struct OllamaEmbedRequest {
  std::string model;
  engine::Embed input;
  int dimensions = 0;  // 0: all
};

Parsed<OllamaEmbedRequest> parse_ollama_embed(const HttpRequest& request);       // `input`: a text or texts
Parsed<OllamaEmbedRequest> parse_ollama_embeddings(const HttpRequest& request);  // `prompt`: one text

// `model` as requested; `took` from the request on.
std::string ollama_embed(const std::string& model, const engine::Embeddings& embeddings, Duration took);
std::string ollama_embeddings(const engine::Embeddings& embeddings);

}  // namespace skep::api::wire
