#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace skep::language {

// From small to large: the order is the cost.
enum class Tier { fast = 0, balanced = 1, deep = 2 };
constexpr int kTiers = 3;
constexpr std::array<Tier, kTiers> kAllTiers = {Tier::fast, Tier::balanced, Tier::deep};

constexpr const char* to_string(Tier tier) {
  constexpr std::array<const char*, kTiers> names = {"fast", "balanced", "deep"};
  return names.at(static_cast<size_t>(tier));
}

constexpr std::optional<Tier> tier_from(std::string_view name) {
  for (const Tier tier : kAllTiers) {
    if (name == to_string(tier)) return tier;
  }
  return std::nullopt;
}

}  // namespace skep::language
