#pragma once
// The agents that a daemon is home to: a YAML file (doc/roster.md), read whole, checked, immutable.

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/spec.h"
#include "base/result.h"

namespace skep::agent {

class Roster {
 public:
  Roster() = default;  // nobody

  // Errors name the file, the line, the key, and the nearest known one.
  static Result<Roster> read(const std::string& path);
  static Result<Roster> parse(std::string_view text, std::string_view name);

  [[nodiscard]] const std::vector<AgentSpec>& agents() const { return agents_; }  // in the file's order
  [[nodiscard]] const AgentSpec* find(std::string_view name) const;               // null: nobody of that name
  [[nodiscard]] const std::string& preamble() const { return preamble_; }  // common to all, before each one's own

 private:
  std::vector<AgentSpec> agents_;
  std::string preamble_;
  std::unordered_map<std::string, size_t> by_name_;
};

}  // namespace skep::agent
