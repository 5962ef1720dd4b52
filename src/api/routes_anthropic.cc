#include "api/routes.h"
#include "api/task_answer.h"
#include "api/wire/anthropic_format.h"
#include "api/wire/anthropic_request.h"

namespace skep::api {

void add_anthropic_routes(Router& router, ApiContext& context) {
  auto messages = [&context](std::shared_ptr<Exchange> exchange) {
    auto asked = wire::parse_anthropic(exchange->request());
    if (!asked) {
      exchange->respond(error_response(asked.error(), ErrorStyle::anthropic));
      return;
    }
    auto format = std::make_unique<wire::AnthropicFormat>(context.new_id("msg"), asked->tasks.front().model);
    TaskAnswer::start(context, std::move(exchange), std::move(*asked), std::move(format));
  };
  router.add({"POST", "/v1/messages", Role::user, ErrorStyle::anthropic, messages});
}

}  // namespace skep::api
