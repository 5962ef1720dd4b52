#include "api/wire/control_task_request.h"

#include <boost/json.hpp>

#include "api/wire/openai_chat_request.h"
#include "api/wire/openai_messages.h"

namespace skep::api::wire {

Parsed<Ask> parse_control_task(const HttpRequest& request) {
  auto object = parse_body(request.body);
  if (!object) return tl::unexpected(object.error());
  return read_control_task(*object, request);
}

Parsed<Ask> read_control_task(const boost::json::object& object, const HttpRequest& request) {
  std::optional<ApiError> error;
  Fields body(object, error);
  Ask result;
  agent::TaskRequest task;
  task.model = body.text_or("model", "");
  if (body.has("messages")) {
    if (body.has("input")) body.bad("input", "can't stand beside messages");
    task.input.messages = read_openai_messages(body);
  } else {
    task.input.messages.push_back({"user", body.required_text("input"), {}, {}, {}, {}});
  }
  read_chat_input(body, task.input);
  if (std::string schema = body.raw_object("schema"); !schema.empty()) {
    task.input.format = {language::ResponseFormat::Kind::json_schema, std::move(schema)};
  }
  read_task_fields(body, request, task);
  result.stream = body.boolean("stream").value_or(false);
  if (error) return tl::unexpected(*error);
  result.tasks.push_back(std::move(task));
  return result;
}

}  // namespace skep::api::wire
