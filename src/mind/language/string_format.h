#pragma once
// JSON Schema's `format` of strings as GBNF, without the quotes. One plain spelling each: dates with real months and
// days up to 31, times with seconds and a zone, uuids in lower case, IPv6 in full.

#include <optional>
#include <string>
#include <string_view>

#include "mind/language/gbnf.h"

namespace skep::language {

// The rule's name; nothing for a format that is not known.
std::optional<std::string> format_rule(std::string_view format, Gbnf& grammar);

// The formats that are known, for error messages.
std::string known_formats();

}  // namespace skep::language
