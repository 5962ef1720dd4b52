// Any bytes as the body of any request: parsed or refused with a client's error, never a crash. The first byte chooses
// the parser, the second whether the headers are set too. What is accepted must keep the limits that its parser names.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "api/wire/anthropic_request.h"
#include "api/wire/control_task_request.h"
#include "api/wire/ollama_embed.h"
#include "api/wire/ollama_request.h"
#include "api/wire/openai_chat_request.h"
#include "api/wire/openai_completion_request.h"
#include "api/wire/openai_embeddings.h"
#include "api/wire/openai_responses_request.h"
#include "api/wire/openai_sampling.h"

using namespace skep::api;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const ApiError& error) {
  int status = http_status(error.error.code);
  require(status >= 400 && status < 500);
  require(!error.error.message.empty());
  for (auto style : {ErrorStyle::openai, ErrorStyle::ollama, ErrorStyle::anthropic, ErrorStyle::control}) {
    // Whatever a client sent, what it gets back is JSON.
    require(wire::parse_body(error_response(error, style).body).has_value());
  }
}

template <typename Request>
void check_tasks(const Parsed<Request>& parsed) {
  if (!parsed) return check(parsed.error());
  require(!parsed->tasks.empty() && parsed->tasks.size() <= static_cast<size_t>(wire::kMostChoices));
  for (const auto& task : parsed->tasks) {
    require(task.input.stop.size() <= wire::kMostStops);
    require(!task.deadline || task.deadline->count() > 0);
    require(!task.keep_alive || *task.keep_alive <= kKeepForever);
    const auto& overrides = task.input.overrides;
    require(!overrides.max_tokens || *overrides.max_tokens > 0);
    require(!(overrides.temperature && *overrides.temperature < 0));
  }
}

template <typename Request>
void check_inputs(const Parsed<Request>& parsed) {
  if (!parsed) return check(parsed.error());
  require(parsed->input.inputs.size() + parsed->input.token_inputs.size() <= wire::kMostEmbedInputs);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  HttpRequest request;
  request.body.assign(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (data[1] % 2 == 1) {
    request.headers = {{"X-Skep-Priority", request.body.substr(0, 8)},
                       {"X-Skep-Deadline-Ms", request.body.substr(0, 6)}};
  }
  switch (data[0] % 9) {
    case 0:
      check_tasks(wire::parse_openai_chat(request));
      break;
    case 1:
      check_tasks(wire::parse_openai_completion(request));
      break;
    case 2:
      check_tasks(wire::parse_openai_responses(request));
      break;
    case 3:
      check_tasks(wire::parse_ollama_chat(request));
      break;
    case 4:
      check_tasks(wire::parse_ollama_generate(request));
      break;
    case 5:
      check_tasks(wire::parse_control_task(request));
      break;
    case 6:
      check_inputs(wire::parse_openai_embed(request));
      break;
    case 7:
      check_tasks(wire::parse_anthropic(request));
      break;
    default:
      check_inputs(wire::parse_ollama_embed(request));
      break;
  }
  return 0;
}
