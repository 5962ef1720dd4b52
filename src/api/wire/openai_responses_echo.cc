#include "api/wire/openai_responses_echo.h"

#include <boost/json.hpp>

namespace skep::api::wire {

namespace json = boost::json;

json::object openai_responses_echo(const json::object& body) {
  json::object echo{{"instructions", nullptr},
                    {"max_output_tokens", nullptr},
                    {"max_tool_calls", nullptr},
                    {"metadata", json::object()},
                    {"parallel_tool_calls", true},
                    {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
                    {"temperature", 1.0},
                    {"text", {{"format", {{"type", "text"}}}}},
                    {"tool_choice", "auto"},
                    {"tools", json::array()},
                    {"top_logprobs", 0},
                    {"top_p", 1.0},
                    {"user", nullptr}};
  for (auto& [name, value] : echo) {
    if (const json::value* asked = body.if_contains(name); asked != nullptr && !asked->is_null()) value = *asked;
  }
  echo["background"] = false;
  echo["previous_response_id"] = nullptr;
  echo["service_tier"] = "default";
  echo["store"] = false;
  echo["truncation"] = "disabled";
  return echo;
}

}  // namespace skep::api::wire
