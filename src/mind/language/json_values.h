#pragma once
// The grammar of JSON itself: any value, and the pieces that schemas are made of.

#include <string>
#include <string_view>

#include "mind/language/gbnf.h"

namespace skep::language {

constexpr std::string_view kInteger = R"("-"? ("0" | [1-9] [0-9]{0,17}))";
constexpr std::string_view kNumber = R"("-"? ("0" | [1-9] [0-9]{0,17}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?)";

// Names of rules: at most one space, or one newline with up to 20 blanks; any string; any value, object or array.
std::string space(Gbnf& grammar);
std::string any_string(Gbnf& grammar);
std::string any_value(Gbnf& grammar);
std::string any_object(Gbnf& grammar);

// An expression: brackets around `body`, which may be left out if `optional`; an empty body: nothing between them.
std::string enclosed(Gbnf& grammar, char open, const std::string& body, bool optional, char close);

}  // namespace skep::language
