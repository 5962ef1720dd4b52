#pragma once
// POST /v1/embeddings: text, texts or token ids; as floats, or as base64 of little-endian float32 (the default of the
// Node and Python clients).

#include "api/backend.h"
#include "api/wire/fields.h"

namespace skep::api::wire {

inline constexpr size_t kMostEmbedInputs = 2048;

struct OpenAiEmbedRequest {
  std::string model;
  engine::Embed input;
  bool base64 = false;
  int dimensions = 0;  // 0: all
};

Parsed<OpenAiEmbedRequest> parse_openai_embed(const HttpRequest& request);

// Cuts every vector to its first `dimensions` (0: as they are) and scales it to unit length again.
// invalid_argument: the model has fewer.
Status cut_dimensions(engine::Embeddings& embeddings, int dimensions);

std::string openai_embeddings(const Backend::EmbedAnswer& answer, bool base64);

// `vector` as a JSON array, in the shortest digits that give the same floats.
void append_vector(std::string& out, const std::vector<float>& vector);

}  // namespace skep::api::wire
