#pragma once
// Asks for embeddings on behalf of an exchange, whatever its wire format.

#include <functional>
#include <memory>
#include <string>

#include "api/api_context.h"
#include "api/http_message.h"

namespace skep::api {

// `done` writes the answer. It isn't called when the client leaves before; then the work ends, too.
void embed_for(ApiContext& context, const std::shared_ptr<Exchange>& exchange, std::string model, engine::Embed input,
               std::function<void(Backend::EmbedResult)> done);

// The vectors as `body`, with X-Skep-Truncated-Inputs where some were cut to fit: never silently.
HttpResponse embed_response(std::string body, const engine::Embeddings& embeddings);

}  // namespace skep::api
