#include <boost/json.hpp>

#include "api/embed_answer.h"
#include "api/routes.h"
#include "api/task_answer.h"
#include "api/wire/json_text.h"
#include "api/wire/ollama_embed.h"
#include "api/wire/ollama_format.h"
#include "api/wire/ollama_models.h"
#include "api/wire/ollama_request.h"
#include "api/wire/openai_embeddings.h"

namespace skep::api {

namespace {

using ExchangePtr = std::shared_ptr<Exchange>;

void refuse(Exchange& exchange, const ApiError& error) { exchange.respond(error_response(error, ErrorStyle::ollama)); }

// A request without messages or prompt: loads the model, or unloads it.
void load_or_unload(ApiContext& context, const ExchangePtr& exchange, const wire::OllamaRequest& asked,
                    const wire::OllamaFormat& format) {
  bool unload = asked.keep_alive == Duration::zero();
  HttpResponse answer = json_response(format.loaded(unload));
  if (asked.stream) {
    answer.content_type = "application/x-ndjson";
    answer.body += '\n';
  }
  auto done = [exchange, answer = std::move(answer)](const Status& status) {
    if (!status) return refuse(*exchange, {status.error(), ""});
    exchange->respond(answer);
  };
  if (unload) {
    context.backend.unload(asked.model, std::move(done));
  } else {
    context.backend.load(asked.model, asked.keep_alive, std::move(done));
  }
}

void answer(ApiContext& context, ExchangePtr exchange, Parsed<wire::OllamaRequest> asked,
            wire::OllamaFrame::Kind kind) {
  if (!asked) return refuse(*exchange, asked.error());
  const Clock& clock = context.loop.clock();
  auto format = std::make_unique<wire::OllamaFormat>(
      wire::OllamaFrame{kind, asked->model, [&clock] { return clock.wall(); }, asked->logprobs, asked->conversation});
  if (asked->load_only) return load_or_unload(context, exchange, *asked, *format);
  TaskAnswer::start(context, std::move(exchange), std::move(*asked), std::move(format));
}

void chat(ApiContext& context, ExchangePtr exchange) {
  auto asked = wire::parse_ollama_chat(exchange->request());
  answer(context, std::move(exchange), std::move(asked), wire::OllamaFrame::Kind::chat);
}

void generate(ApiContext& context, ExchangePtr exchange) {
  auto asked = wire::parse_ollama_generate(exchange->request());
  answer(context, std::move(exchange), std::move(asked), wire::OllamaFrame::Kind::generate);
}

void embed(ApiContext& context, ExchangePtr exchange) {
  auto asked = wire::parse_ollama_embed(exchange->request());
  if (!asked) return refuse(*exchange, asked.error());
  const Clock& clock = context.loop.clock();
  std::string model = asked->model;
  if (asked->input.inputs.empty()) {  // nothing to embed is answered with nothing
    exchange->respond(json_response(wire::ollama_embed(model, {}, Duration::zero())));
    return;
  }
  embed_for(context, exchange, model, std::move(asked->input),
            [exchange, model, &clock, began = clock.now(), dimensions = asked->dimensions](auto result) {
              if (!result) return refuse(*exchange, result.error());
              if (auto cut = wire::cut_dimensions(result->embeddings, dimensions); !cut) {
                return refuse(*exchange, {cut.error(), "dimensions"});
              }
              exchange->respond(embed_response(wire::ollama_embed(model, result->embeddings, clock.now() - began),
                                               result->embeddings));
            });
}

void embeddings(ApiContext& context, ExchangePtr exchange) {
  auto asked = wire::parse_ollama_embeddings(exchange->request());
  if (!asked) return refuse(*exchange, asked.error());
  if (asked->input.inputs.empty()) {
    exchange->respond(json_response(wire::ollama_embeddings({})));
    return;
  }
  embed_for(context, exchange, asked->model, std::move(asked->input), [exchange](auto result) {
    if (!result) return refuse(*exchange, result.error());
    exchange->respond(embed_response(wire::ollama_embeddings(result->embeddings), result->embeddings));
  });
}

void show(ApiContext& context, const ExchangePtr& exchange) {
  auto object = wire::parse_body(exchange->request().body);
  if (!object) return refuse(*exchange, object.error());
  std::optional<ApiError> error;
  wire::Fields body(*object, error);
  std::string name = body.text("model").value_or(body.text_or("name", ""));
  if (name.empty()) body.bad("model", "is required");
  if (error) return refuse(*exchange, *error);
  auto model = context.backend.find_model(name);
  if (!model) return refuse(*exchange, {model.error(), ""});
  exchange->respond(json_response(wire::ollama_show(*model)));
}

}  // namespace

void add_ollama_routes(Router& router, ApiContext& context) {
  const auto add = route_adder(router, context, ErrorStyle::ollama);
  add("POST", "/api/chat", Role::user, chat);
  add("POST", "/api/generate", Role::user, generate);
  add("POST", "/api/embed", Role::user, embed);
  add("POST", "/api/embeddings", Role::user, embeddings);
  add("POST", "/api/show", Role::read, show);
  add("GET", "/api/tags", Role::read, [](ApiContext& c, const ExchangePtr& exchange) {
    exchange->respond(json_response(wire::ollama_tags(c.backend.models())));
  });
  add("GET", "/api/ps", Role::read, [](ApiContext& c, const ExchangePtr& exchange) {
    exchange->respond(json_response(wire::ollama_ps(c.backend.running(), c.loop.clock().wall())));
  });
  add("GET", "/api/version", Role::read, [](ApiContext& c, const ExchangePtr& exchange) {
    exchange->respond(json_response(wire::to_text(boost::json::object{{"version", c.version}})));
  });
  add("GET", "/", std::nullopt, [](ApiContext&, const ExchangePtr& exchange) {
    HttpResponse response;
    response.content_type = "text/plain; charset=utf-8";
    response.body = "Ollama is running";  // clients look for these words
    exchange->respond(std::move(response));
  });
}

}  // namespace skep::api
