#pragma once

#include <optional>
#include <string_view>

namespace skep::scheduling {

// The order is the rank: critical before high before normal before background.
enum class Priority { critical = 0, high = 1, normal = 2, background = 3 };
constexpr int kPriorities = 4;

constexpr const char* to_string(Priority p) {
  switch (p) {
    case Priority::critical:
      return "critical";
    case Priority::high:
      return "high";
    case Priority::normal:
      return "normal";
    case Priority::background:
      return "background";
  }
  return "normal";
}

constexpr std::optional<Priority> priority_from(std::string_view name) {
  for (Priority p : {Priority::critical, Priority::high, Priority::normal, Priority::background}) {
    if (name == to_string(p)) return p;
  }
  return std::nullopt;
}

}  // namespace skep::scheduling
