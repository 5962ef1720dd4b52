#pragma once
// A regular expression of JSON Schema's `pattern` as the GBNF of a JSON string's inside (without the quotes). What is
// known: literals, ., classes with ranges and negation, \d \w \s \D \W \S and character escapes, groups, alternation,
// * + ? {m,n} (lazy ones match the same strings), ^ and $ at the ends. The rest (look-around, back references, \b, \p)
// is invalid_argument with what and where.

#include <string>
#include <string_view>

#include "base/result.h"
#include "mind/language/gbnf.h"

namespace skep::language {

Result<std::string> pattern_expression(std::string_view pattern, Gbnf& grammar);

// One character inside a JSON string, escapes included: the rule's name.
std::string string_character(Gbnf& grammar);

}  // namespace skep::language
