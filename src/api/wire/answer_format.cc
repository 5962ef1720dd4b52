#include "api/wire/answer_format.h"

#include <cassert>

namespace skep::api::wire {

std::string sse_event(std::string_view name, std::string_view data) {
  assert(data.find('\n') == std::string_view::npos);
  std::string event;
  event.reserve(data.size() + name.size() + 20);
  if (!name.empty()) event.append("event: ").append(name).append("\n");
  event.append("data: ").append(data).append("\n\n");
  return event;
}

}  // namespace skep::api::wire
