#include "mind/language/json_values.h"

#include <fmt/format.h>

#include "mind/language/pattern.h"

namespace skep::language {
namespace {

constexpr std::string_view kSpace = R"(| " " | "\n" [ \t]{0,20})";

// `which`: value, object or array. They refer to each other, so their names come before their bodies.
std::string any(Gbnf& g, std::string_view which) {
  if (const std::string known = g.kept(which); !known.empty()) return known;
  const std::string ws = space(g), string = any_string(g), number = g.rule("number", std::string(kNumber));
  const std::string value = g.reserve("value"), object = g.reserve("object"), array = g.reserve("array");
  g.define(value, fmt::format(R"({} | {} | {} | {} | "true" | "false" | "null")", object, array, string, number));
  g.define(object,
           fmt::format(R"("{{" {0} ({1} ":" {0} {2} {0} ("," {0} {1} ":" {0} {2} {0})*)? "}}")", ws, string, value));
  g.define(array, fmt::format(R"("[" {0} ({1} {0} ("," {0} {1} {0})*)? "]")", ws, value));
  g.keep("value", value);
  g.keep("object", object);
  g.keep("array", array);
  return g.kept(which);
}

}  // namespace

std::string space(Gbnf& g) { return g.rule("ws", std::string(kSpace)); }
std::string any_string(Gbnf& g) { return g.rule("string", fmt::format(R"("\"" {}* "\"")", string_character(g))); }
std::string any_value(Gbnf& g) { return any(g, "value"); }
std::string any_object(Gbnf& g) { return any(g, "object"); }

std::string enclosed(Gbnf& g, char open, const std::string& body, bool optional, char close) {
  const std::string ws = space(g);
  if (body.empty()) return fmt::format(R"("{}" {} "{}")", open, ws, close);
  const std::string inside = fmt::format(R"({} {})", body, ws);
  return fmt::format(R"("{}" {} {} "{}")", open, ws, optional ? "(" + inside + ")?" : inside, close);
}

}  // namespace skep::language
