#include "agent/roster.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/yaml.h"
#include "base/yaml_fields.h"

namespace skep::agent {
namespace {

constexpr YamlLimits kFile{.size = 16_MiB, .depth = 8, .values = 1'000'000};
constexpr size_t kAgents = 10'000;
constexpr size_t kNameBytes = 64;
constexpr size_t kTitleBytes = 128;
constexpr size_t kPromptBytes = 32 * 1024;
constexpr size_t kListItems = 64;

// Requests name models, tiers and agents in the same place.
constexpr std::array<std::string_view, 4> kTaken{"auto", "fast", "balanced", "deep"};

bool is_kebab_case(std::string_view name) {
  const auto word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.empty() || !word(name.front()) || !word(name.back())) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) { return word(c) || c == '-'; }) &&
         name.find("--") == std::string_view::npos;
}

void check_name(YamlFields& fields, const YamlNode& node, const std::string& name) {
  if (name.empty()) return;  // missing: said already
  if (!is_kebab_case(name)) {
    fields.refuse(
        node.error(fmt::format("'{}' is no kebab-case name", name), "small letters and digits, words joined by '-'")
            .value());
  } else if (std::find(kTaken.begin(), kTaken.end(), name) != kTaken.end()) {
    fields.refuse(node.error(fmt::format("'{}' can't be an agent's name: requests use it for a tier", name)).value());
  }
}

Result<AgentSpec> read_agent(const YamlNode& node) {
  AgentSpec spec;
  std::string priority = to_string(spec.priority);
  YamlFields fields(node);
  fields.required().text("name", spec.name, kNameBytes);
  check_name(fields, node.find("name").value_or(node), spec.name);
  fields.text("title", spec.title, kTitleBytes);
  fields.choice("mind", spec.mind, {"language", "belief"});
  const bool speaks = spec.mind == "language";
  if (speaks) fields.required();
  fields.choice("tier", spec.tier, {"fast", "balanced", "deep"});
  fields.text("adapter", spec.adapter, kNameBytes);
  fields.choice("priority", priority, {"critical", "high", "normal", "background"});
  fields.texts("task_types", spec.task_types, kListItems, kNameBytes);
  fields.texts("tools", spec.tools, kListItems, kNameBytes);
  if (speaks) fields.required();
  fields.text("system_prompt", spec.system_prompt, kPromptBytes);
  fields.boolean("public", spec.is_public);
  fields.number("weight", spec.weight, 0.01, 100);
  std::string cache = "decided";
  fields.choice("cache", cache, {"decided", "always", "similar"});
  fields.section("limits", [&](YamlFields& limits) {
    limits.integer("tokens_per_minute", spec.tokens_per_minute, 0, 1'000'000'000);
    limits.integer("concurrent", spec.concurrent, 0, 10'000);
  });
  SKEP_CHECK(fields.finish());
  spec.priority = *scheduling::priority_from(priority);
  spec.cache = cache == "always" ? CacheUse::always : cache == "similar" ? CacheUse::similar : CacheUse::decided;
  if (spec.title.empty()) spec.title = spec.name;
  return spec;
}

}  // namespace

Result<Roster> Roster::read(const std::string& path) {
  SKEP_TRY(const YamlDocument document, read_yaml(path, kFile));
  return from(document);
}

Result<Roster> Roster::parse(std::string_view text, std::string_view name) {
  SKEP_TRY(const YamlDocument document, parse_yaml(text, name, kFile));
  return from(document);
}

Result<Roster> Roster::from(const YamlDocument& document) {
  Roster roster;
  std::unordered_map<std::string, std::string> places;  // of names, for duplicates
  YamlFields fields(document.root());
  fields.text("preamble", roster.preamble_, kPromptBytes);
  fields.boolean("public", roster.public_);
  fields.required().list("agents", kAgents, [&](const YamlNode& node) -> Status {
    SKEP_TRY(AgentSpec spec, read_agent(node));
    const auto [first, added] = places.try_emplace(spec.name, node.place());
    if (!added)
      return node.error(fmt::format("there are two agents '{}'; the other is at {}", spec.name, first->second));
    roster.by_name_.emplace(spec.name, roster.agents_.size());
    roster.agents_.push_back(std::move(spec));
    return {};
  });
  SKEP_CHECK(fields.finish());
  return roster;
}

const AgentSpec* Roster::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &agents_[found->second];
}

}  // namespace skep::agent
