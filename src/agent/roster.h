#pragma once
// The agents that a daemon is home to: a YAML file (doc/roster.md), read whole, checked, immutable.

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/spec.h"
#include "base/result.h"

namespace skep {
class YamlDocument;
}

namespace skep::agent {

class Roster {
 public:
  Roster() = default;  // nobody

  // Errors name the file, the line, the key, and the nearest known one; up to ten mistakes at once. Refused are also
  // two agents of one name, names that requests use otherwise (auto and the tiers), and what goes beyond the limits:
  // 16 MiB, 10,000 agents, prompts of 32 KiB.
  static Result<Roster> read(const std::string& path);
  static Result<Roster> parse(std::string_view text, std::string_view name);

  [[nodiscard]] const std::vector<AgentSpec>& agents() const { return agents_; }  // in the file's order
  [[nodiscard]] const AgentSpec* find(std::string_view name) const;               // null: nobody of that name
  [[nodiscard]] const std::string& preamble() const { return preamble_; }  // common to all, before each one's own
  [[nodiscard]] bool preamble_is_public() const { return public_; }        // callers share its KV cells

 private:
  static Result<Roster> from(const YamlDocument& document);

  std::vector<AgentSpec> agents_;
  std::string preamble_;
  bool public_ = false;
  std::unordered_map<std::string, size_t> by_name_;
};

}  // namespace skep::agent
