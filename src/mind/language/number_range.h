#pragma once
// JSON numbers between bounds, as GBNF expressions.

#include <cstdint>
#include <optional>
#include <string>

namespace skep::language {

// Integers from `low` to `high`, both included, written without leading zeros or plus sign. An open end has up to 18
// digits. low <= high.
std::string integer_range(std::optional<int64_t> low, std::optional<int64_t> high);

// The same bounds for numbers with an optional fraction of up to 16 digits, without an exponent.
std::string number_range(std::optional<int64_t> low, std::optional<int64_t> high);

}  // namespace skep::language
