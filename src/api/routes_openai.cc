#include <optional>

#include "api/embed_answer.h"
#include "api/routes.h"
#include "api/task_answer.h"
#include "api/wire/openai_chat_format.h"
#include "api/wire/openai_chat_request.h"
#include "api/wire/openai_completion_format.h"
#include "api/wire/openai_completion_request.h"
#include "api/wire/openai_embeddings.h"
#include "api/wire/openai_models.h"
#include "api/wire/openai_responses_format.h"
#include "api/wire/openai_responses_request.h"

namespace skep::api {

namespace {

using ExchangePtr = std::shared_ptr<Exchange>;

void refuse(Exchange& exchange, const ApiError& error) { exchange.respond(error_response(error, ErrorStyle::openai)); }

// An answer whose request's bytes came before. True: answered.
bool answer_known(ApiContext& context, Exchange& exchange, const KnownResponses::Key& key) {
  const auto found = context.known.find(key);
  if (!found) return false;
  HttpResponse response;
  response.headers = answer_headers(std::to_string(found->hit.id), &found->known->ticket.route, found->hit.note);
  response.body = wire::openai_chat_beginning(context.new_id("chatcmpl"), context.unix_seconds()) + found->known->body;
  exchange.respond(std::move(response));
  return true;
}

void chat(ApiContext& context, ExchangePtr exchange) {
  const auto key = context.known.key_of(exchange->request());
  if (key && answer_known(context, *exchange, *key)) return;
  auto asked = wire::parse_openai_chat(exchange->request());
  if (!asked) return refuse(*exchange, asked.error());
  const agent::TaskRequest& task = asked->tasks.front();
  wire::OpenAiChatFrame frame{
      context.new_id("chatcmpl"), context.unix_seconds(),       task.model, static_cast<int>(asked->tasks.size()),
      asked->include_usage,       task.input.overrides.logprobs};
  TaskAnswer::Whole keep;
  if (key && task.conversation.empty() && task.input.messages.size() <= agent::KnownAnswers::kFewMessages) {
    keep = [&context, key = *key, beginning = wire::openai_chat_beginning(frame.id, frame.created)](
               agent::TaskId id, std::string_view body) {
      if (body.starts_with(beginning)) context.known.keep(key, id, body.substr(beginning.size()));
    };
  }
  TaskAnswer::start(context, std::move(exchange), std::move(*asked),
                    std::make_unique<wire::OpenAiChatFormat>(std::move(frame)), std::move(keep));
}

void completions(ApiContext& context, ExchangePtr exchange) {
  auto asked = wire::parse_openai_completion(exchange->request());
  if (!asked) return refuse(*exchange, asked.error());
  wire::OpenAiCompletionFrame frame{context.new_id("cmpl"), context.unix_seconds(), asked->tasks.front().model,
                                    asked->include_usage,   asked->logprobs,        std::move(asked->echo)};
  TaskAnswer::start(context, std::move(exchange), std::move(*asked),
                    std::make_unique<wire::OpenAiCompletionFormat>(std::move(frame)));
}

void responses(ApiContext& context, ExchangePtr exchange) {
  auto asked = wire::parse_openai_responses(exchange->request());
  if (!asked) return refuse(*exchange, asked.error());
  wire::OpenAiResponsesFrame frame{context.new_id("resp"), context.unix_seconds(), asked->tasks.front().model,
                                   std::move(asked->echo), asked->logprobs};
  TaskAnswer::start(context, std::move(exchange), std::move(*asked),
                    std::make_unique<wire::OpenAiResponsesFormat>(std::move(frame)));
}

void embeddings(ApiContext& context, ExchangePtr exchange) {
  auto asked = wire::parse_openai_embed(exchange->request());
  if (!asked) return refuse(*exchange, asked.error());
  embed_for(context, exchange, asked->model, std::move(asked->input),
            [exchange, base64 = asked->base64, dimensions = asked->dimensions](auto answer) {
              if (!answer) return refuse(*exchange, answer.error());
              if (auto cut = wire::cut_dimensions(answer->embeddings, dimensions); !cut) {
                return refuse(*exchange, {cut.error(), "dimensions"});
              }
              exchange->respond(json_response(wire::openai_embeddings(*answer, base64)));
            });
}

void models(ApiContext& context, const ExchangePtr& exchange) {
  exchange->respond(
      json_response(wire::openai_models(context.backend.models(), context.backend.aliases(), context.unix_seconds())));
}

void model(ApiContext& context, const ExchangePtr& exchange) {
  std::string id(exchange->request().capture("id"));
  auto found = context.backend.find_model(id);
  if (!found) return refuse(*exchange, {found.error(), "model"});
  exchange->respond(json_response(wire::openai_model(id, *found)));
}

}  // namespace

void add_openai_routes(Router& router, ApiContext& context) {
  const auto add = route_adder(router, context, ErrorStyle::openai);
  add("POST", "/v1/chat/completions", Role::user, chat);
  add("POST", "/v1/completions", Role::user, completions);
  add("POST", "/v1/responses", Role::user, responses);
  add("POST", "/v1/embeddings", Role::user, embeddings);
  add("GET", "/v1/models", Role::read, models);
  add("GET", "/v1/models/{id*}", Role::read, model);
}

}  // namespace skep::api
