#include "api/embed_answer.h"

#include <utility>

namespace skep::api {

void embed_for(ApiContext& context, const std::shared_ptr<Exchange>& exchange, std::string model, engine::Embed input,
               std::function<void(Backend::EmbedResult)> done) {
  Backend& backend = context.backend;
  auto id = backend.embed(std::move(model), std::move(input), exchange->request().caller.name, std::move(done));
  exchange->on_gone([&backend, id] { backend.cancel_embed(id); });
}

HttpResponse embed_response(std::string body, const engine::Embeddings& embeddings) {
  HttpResponse response;
  response.body = std::move(body);
  if (embeddings.truncated > 0) {
    response.headers.emplace_back("X-Skep-Truncated-Inputs", std::to_string(embeddings.truncated));
  }
  return response;
}

}  // namespace skep::api
