#include "mind/language/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/json.h"
#include "mind/language/number_range.h"
#include "mind/language/pattern.h"
#include "mind/language/schema_merge.h"
#include "mind/language/string_format.h"

namespace skep::language {
namespace {

namespace json = boost::json;

constexpr int kMostCharacters = 10000;  // of minLength, maxLength
constexpr int kMostItems = 1000;        // of minItems, maxItems, minProperties, maxProperties

// Known to JSON Schema, not to us.
constexpr std::array<std::string_view, 14> kUnsupported = {"not",
                                                           "if",
                                                           "then",
                                                           "else",
                                                           "contains",
                                                           "minContains",
                                                           "maxContains",
                                                           "patternProperties",
                                                           "propertyNames",
                                                           "dependentSchemas",
                                                           "dependentRequired",
                                                           "dependencies",
                                                           "$dynamicRef",
                                                           "$recursiveRef"};

constexpr std::string_view kSpace = R"(| " " | "\n" [ \t]{0,20})";
constexpr std::string_view kInteger = R"("-"? ("0" | [1-9] [0-9]{0,17}))";
constexpr std::string_view kNumber = R"("-"? ("0" | [1-9] [0-9]{0,17}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?)";

std::string space(Gbnf& g) { return g.rule("ws", std::string(kSpace)); }
std::string any_string(Gbnf& g) { return g.rule("string", fmt::format(R"("\"" {}* "\"")", string_character(g))); }

// `which`: value, object or array. They refer to each other, so their names come before their bodies.
std::string any_value(Gbnf& g, std::string_view which) {
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

// Brackets around `body`, which may be left out if `optional`; an empty body: nothing between them.
std::string enclosed(Gbnf& g, char open, const std::string& body, bool optional, char close) {
  const std::string ws = space(g);
  if (body.empty()) return fmt::format(R"("{}" {} "{}")", open, ws, close);
  const std::string inside = fmt::format(R"({} {})", body, ws);
  return fmt::format(R"("{}" {} {} "{}")", open, ws, optional ? "(" + inside + ")?" : inside, close);
}

std::string escaped_pointer(std::string_view token) {
  std::string out;
  for (const char c : token) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

class SchemaWriter {
 public:
  SchemaWriter(const json::value& document, std::string_view what, Gbnf& grammar, const SchemaLimits& limits)
      : document_(document), what_(what), g_(grammar), limits_(limits) {}

  // The schema of the value at hand.
  Result<std::string> write(const json::value& schema, const std::string& pointer, int depth);

 private:
  using Object = json::object;

  tl::unexpected<Error> unsupported(const std::string& pointer, std::string_view keyword, std::string_view why) const {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: {} at #{}/{} {}", what_, keyword, pointer, keyword, why));
  }
  static std::string hint(const std::string& pointer) {
    const size_t slash = pointer.rfind('/');
    return slash == std::string::npos ? "answer" : pointer.substr(slash + 1);
  }

  // The schema of a value inside the one at hand.
  Result<std::string> write_inside(const json::value& schema, const std::string& pointer, int depth);
  Status check_size(const std::string& pointer, int depth);
  Result<const json::value*> resolve(std::string_view ref, const std::string& pointer) const;
  Result<std::string> write_object_schema(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_reference(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_alternatives(const Object& schema, std::string_view keyword, const std::string& pointer,
                                         int depth);
  Result<std::string> write_all_of(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_values(const json::array& values, const Object& schema, const std::string& pointer,
                                   std::string_view keyword);
  Result<std::string> write_type(std::string_view type, const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_object(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_map(const Object& schema, const json::value* values, const std::string& pointer, int depth);
  Result<std::string> write_array(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_string(const Object& schema, const std::string& pointer);
  Result<std::string> write_number(const Object& schema, const std::string& pointer, bool integer);

  Result<std::optional<int>> count(const Object& schema, std::string_view keyword, const std::string& pointer,
                                   int most) const;
  Result<std::optional<int64_t>> bound(const Object& schema, const std::string& pointer, bool lower,
                                       bool integer) const;
  std::string other_name(const std::vector<std::string>& taken);

  const json::value& document_;
  std::string what_;
  Gbnf& g_;
  SchemaLimits limits_;
  std::map<std::string, std::string, std::less<>> references_;  // $ref -> its rule
  size_t steps_ = 0;
  std::vector<std::string> open_;  // references that are being written for the value at hand
};

Result<std::string> SchemaWriter::write_inside(const json::value& schema, const std::string& pointer, int depth) {
  std::vector<std::string> outside;
  outside.swap(open_);
  auto written = write(schema, pointer, depth + 1);
  open_.swap(outside);
  return written;
}

// Equal rules are written once, so the work has its own bound.
Status SchemaWriter::check_size(const std::string& pointer, int depth) {
  if (depth > limits_.depth) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: #{} is nested deeper than {}", what_, pointer, limits_.depth));
  }
  if (g_.rules() > limits_.rules || g_.bytes() > limits_.grammar_bytes || ++steps_ > limits_.steps) {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: the schema is too large, at #{}", what_, pointer));
  }
  return {};
}

Result<std::string> SchemaWriter::write(const json::value& schema, const std::string& pointer, int depth) {
  SKEP_CHECK(check_size(pointer, depth));
  if (schema.is_bool()) {
    if (schema.get_bool()) return any_value(g_, "value");
    return fail(ErrorCode::invalid_argument, fmt::format("{}: #{} is false, which nothing satisfies", what_, pointer));
  }
  if (!schema.is_object()) {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: #{} is not a schema (an object)", what_, pointer));
  }
  return write_object_schema(schema.get_object(), pointer, depth);
}

Result<std::string> SchemaWriter::write_object_schema(const Object& schema, const std::string& pointer, int depth) {
  SKEP_CHECK(check_size(pointer, depth));
  for (const std::string_view keyword : kUnsupported) {
    if (schema.contains(keyword)) return unsupported(pointer, keyword, "is not supported");
  }
  if (const auto* unique = schema.if_contains("uniqueItems"); unique != nullptr && *unique == json::value(true)) {
    return unsupported(pointer, "uniqueItems", "is not supported");
  }
  if (schema.contains("$ref")) return write_reference(schema, pointer, depth);
  if (schema.contains("allOf")) return write_all_of(schema, pointer, depth);
  for (const char* keyword : {"anyOf", "oneOf"}) {
    if (schema.contains(keyword)) return write_alternatives(schema, keyword, pointer, depth);
  }
  if (const auto* value = schema.if_contains("const")) return write_values({*value}, schema, pointer, "const");
  if (const auto* values = schema.if_contains("enum")) {
    if (!values->is_array() || values->get_array().empty())
      return unsupported(pointer, "enum", "is not a list of values");
    return write_values(values->get_array(), schema, pointer, "enum");
  }

  std::vector<std::string> types;
  if (const auto* type = schema.if_contains("type")) {
    if (type->is_string()) types.emplace_back(type->get_string());
    if (type->is_array()) {
      for (const json::value& each : type->get_array()) {
        if (!each.is_string()) return unsupported(pointer, "type", "is not a type's name");
        types.emplace_back(each.get_string());
      }
    }
    if (types.empty()) return unsupported(pointer, "type", "is not a type's name");
  } else {
    const auto any = [&](std::initializer_list<const char*> keywords) {
      return std::any_of(keywords.begin(), keywords.end(), [&](const char* k) { return schema.contains(k); });
    };
    if (any({"properties", "required", "additionalProperties", "minProperties", "maxProperties"})) {
      types = {"object"};
    } else if (any({"items", "prefixItems", "minItems", "maxItems"})) {
      types = {"array"};
    } else if (any({"pattern", "minLength", "maxLength", "format"})) {
      types = {"string"};
    } else if (any({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})) {
      types = {"number"};
    } else {
      return any_value(g_, "value");
    }
  }
  if (const auto* nullable = schema.if_contains("nullable"); nullable != nullptr && *nullable == json::value(true)) {
    types.emplace_back("null");
  }
  std::vector<std::string> alternatives;
  for (const std::string& type : std::set<std::string>(types.begin(), types.end())) {
    SKEP_TRY(std::string alternative, write_type(type, schema, pointer, depth));
    alternatives.push_back(std::move(alternative));
  }
  return alternatives.size() == 1 ? alternatives.front() : g_.rule(hint(pointer), Gbnf::any_of(alternatives));
}

Result<const json::value*> SchemaWriter::resolve(std::string_view ref, const std::string& pointer) const {
  if (!ref.starts_with('#')) return unsupported(pointer, "$ref", "leads out of the document");
  std::string path(ref.substr(1));
  for (size_t at = path.find('%'); at != std::string::npos; at = path.find('%', at + 1)) {
    const auto hex = [](char c) {
      return c >= '0' && c <= '9'   ? c - '0'
             : c >= 'a' && c <= 'f' ? c - 'a' + 10
             : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                    : -1;
    };
    if (at + 2 >= path.size() || hex(path[at + 1]) < 0 || hex(path[at + 2]) < 0) break;
    path.replace(at, 3, 1, static_cast<char>(hex(path[at + 1]) * 16 + hex(path[at + 2])));
  }
  boost::system::error_code error;
  const json::value* found = document_.find_pointer(path, error);
  if (found == nullptr || error)
    return unsupported(pointer, "$ref", fmt::format("names {}, which does not exist", ref));
  return found;
}

// Whether a schema says something beside this keyword, other than annotations.
bool has_others(const json::object& schema, std::string_view but) {
  constexpr std::array<std::string_view, 15> annotations = {
      "title",    "description", "default", "examples",    "$schema", "$id",    "$comment", "deprecated",
      "readOnly", "writeOnly",   "$defs",   "definitions", "$anchor", "strict", "example"};
  return std::any_of(schema.begin(), schema.end(), [&](const auto& entry) {
    const std::string_view key = entry.key();
    return key != but && std::find(annotations.begin(), annotations.end(), key) == annotations.end();
  });
}

json::object without(const json::object& schema, std::string_view key) {
  json::object rest = schema;
  rest.erase(key);
  return rest;
}

Result<std::string> SchemaWriter::write_reference(const Object& schema, const std::string& pointer, int depth) {
  const json::value& value = schema.at("$ref");
  if (!value.is_string()) return unsupported(pointer, "$ref", "is not a string");
  const std::string ref(value.get_string());
  SKEP_TRY(const json::value* target, resolve(ref, pointer));
  if (has_others(schema, "$ref")) {
    if (!target->is_object()) return unsupported(pointer, "$ref", "beside other keywords has to name an object");
    SKEP_TRY(const Object merged, merged_schemas(without(schema, "$ref"), target->get_object(), pointer));
    return write_object_schema(merged, pointer, depth + 1);
  }
  // A value that is what it is would be left recursion.
  if (std::find(open_.begin(), open_.end(), ref) != open_.end()) {
    return unsupported(pointer, "$ref", "refers to itself with nothing between");
  }
  // The name comes before the body, which may refer to itself.
  if (const auto known = references_.find(ref); known != references_.end()) return known->second;
  const std::string name = g_.reserve(ref == "#" ? "document" : hint(ref));
  references_.emplace(ref, name);
  open_.push_back(ref);
  auto body = write(*target, ref.substr(1), depth + 1);
  open_.pop_back();
  if (!body) return body;
  g_.define(name, *body);
  return name;
}

Result<std::string> SchemaWriter::write_alternatives(const Object& schema, std::string_view keyword,
                                                     const std::string& pointer, int depth) {
  const json::value& list = schema.at(keyword);
  if (!list.is_array() || list.get_array().empty()) return unsupported(pointer, keyword, "is not a list of schemas");
  const Object rest = without(schema, keyword);
  const bool others = has_others(rest, "");
  std::vector<std::string> alternatives;
  for (size_t i = 0; i < list.get_array().size(); ++i) {
    const json::value& each = list.get_array()[i];
    const std::string at = fmt::format("{}/{}/{}", pointer, keyword, i);
    if (others && each.is_object()) {
      SKEP_TRY(const Object merged, merged_schemas(rest, each.get_object(), at));
      SKEP_CHECK(check_size(at, depth + 1));
      SKEP_TRY(std::string alternative, write_object_schema(merged, at, depth + 1));
      alternatives.push_back(std::move(alternative));
    } else {
      SKEP_TRY(std::string alternative, write(each, at, depth + 1));
      alternatives.push_back(std::move(alternative));
    }
  }
  return g_.rule(hint(pointer), Gbnf::any_of(alternatives));
}

Result<std::string> SchemaWriter::write_all_of(const Object& schema, const std::string& pointer, int depth) {
  const json::value& list = schema.at("allOf");
  if (!list.is_array() || list.get_array().empty()) return unsupported(pointer, "allOf", "is not a list of schemas");
  Object all = without(schema, "allOf");
  for (size_t i = 0; i < list.get_array().size(); ++i) {
    const json::value* each = &list.get_array()[i];
    const std::string at = fmt::format("{}/allOf/{}", pointer, i);
    // References are followed here, so that what they name can be merged.
    for (int hops = 0;
         each->is_object() && each->get_object().contains("$ref") && !has_others(each->get_object(), "$ref"); ++hops) {
      const json::value& ref = each->get_object().at("$ref");
      if (!ref.is_string() || hops > limits_.depth) return unsupported(at, "$ref", "leads nowhere");
      SKEP_TRY(each, resolve(ref.get_string(), at));
    }
    if (each->is_bool() && each->get_bool()) continue;
    if (!each->is_object()) return unsupported(pointer, "allOf", "is not a list of schemas");
    SKEP_TRY(all, merged_schemas(all, each->get_object(), at));
  }
  SKEP_CHECK(check_size(pointer, depth + 1));
  return write_object_schema(all, pointer, depth + 1);
}

bool has_type(const json::value& value, std::string_view type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_bool();
  if (type == "null") return value.is_null();
  if (type == "integer") {
    return value.is_int64() || value.is_uint64() ||
           (value.is_double() && std::floor(value.get_double()) == value.get_double());
  }
  return type == "number" && value.is_number();
}

// enum and const: the values as they are, those that the type allows.
Result<std::string> SchemaWriter::write_values(const json::array& values, const Object& schema,
                                               const std::string& pointer, std::string_view keyword) {
  std::vector<std::string> literals;
  const auto* type = schema.if_contains("type");
  for (const json::value& value : values) {
    bool fits = type == nullptr;
    if (type != nullptr && type->is_string()) fits = has_type(value, type->get_string());
    if (type != nullptr && type->is_array()) {
      for (const json::value& each : type->get_array())
        fits = fits || (each.is_string() && has_type(value, each.get_string()));
    }
    if (fits) literals.push_back(Gbnf::literal(json::serialize(value)));
  }
  if (literals.empty()) return unsupported(pointer, keyword, "has no value of the type");
  return g_.rule(hint(pointer), Gbnf::any_of(literals));
}

Result<std::string> SchemaWriter::write_type(std::string_view type, const Object& schema, const std::string& pointer,
                                             int depth) {
  if (type == "object") return write_object(schema, pointer, depth);
  if (type == "array") return write_array(schema, pointer, depth);
  if (type == "string") return write_string(schema, pointer);
  if (type == "integer") return write_number(schema, pointer, true);
  if (type == "number") return write_number(schema, pointer, false);
  if (type == "boolean") return g_.rule("boolean", R"("true" | "false")");
  if (type == "null") return g_.rule("null", R"("null")");
  return unsupported(pointer, "type", fmt::format("is \"{}\", which is no type", type));
}

Result<std::optional<int>> SchemaWriter::count(const Object& schema, std::string_view keyword,
                                               const std::string& pointer, int most) const {
  const auto* value = schema.if_contains(keyword);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) return unsupported(pointer, keyword, "is not a number");
  const auto number = value->to_number<double>();
  if (number < 0 || number != std::floor(number)) return unsupported(pointer, keyword, "is not a count");
  if (number > most) return unsupported(pointer, keyword, fmt::format("is over {}, the most that is supported", most));
  return static_cast<int>(number);
}

// Properties in their order, the optional ones left out or not:
//     tail_i = what may follow once one was written, from property i on; head_i the same before any was.
Result<std::string> SchemaWriter::write_object(const Object& schema, const std::string& pointer, int depth) {
  static const Object none;
  const auto* given = schema.if_contains("properties");
  if (given != nullptr && !given->is_object()) return unsupported(pointer, "properties", "is not an object");
  const Object& properties = given != nullptr ? given->get_object() : none;
  const auto* additional = schema.if_contains("additionalProperties");
  const bool closed = additional != nullptr ? additional->is_bool() && !additional->get_bool() : !properties.empty();

  std::set<std::string, std::less<>> required;
  if (const auto* names = schema.if_contains("required")) {
    if (!names->is_array()) return unsupported(pointer, "required", "is not a list of names");
    for (const json::value& name : names->get_array()) {
      if (!name.is_string()) return unsupported(pointer, "required", "is not a list of names");
      required.emplace(name.get_string());
    }
  }
  for (const std::string& name : required) {
    if (properties.contains(name)) continue;
    if (closed)
      return unsupported(pointer, "required", fmt::format("names {}, which is not among the properties", name));
  }
  if (properties.empty() && required.empty()) {
    if (!closed) return write_map(schema, additional, pointer, depth);
    return g_.rule("empty", enclosed(g_, '{', "", false, '}'));
  }

  struct Property {
    std::string pair;
    bool required;
  };
  const std::string ws = space(g_);
  std::vector<Property> all;
  std::vector<std::string> names;
  const auto add = [&](const std::string& name, const std::string& value, bool is_required) {
    const std::string key = Gbnf::literal(json::serialize(json::value(name)) + ":");
    all.push_back({g_.rule(name + "-pair", fmt::format("{} {} {}", key, ws, value)), is_required});
    names.push_back(name);
  };
  for (const auto& entry : properties) {
    const std::string name(entry.key());
    SKEP_TRY(const std::string value,
             write_inside(entry.value(), fmt::format("{}/properties/{}", pointer, escaped_pointer(name)), depth));
    add(name, value, required.contains(name));
  }
  const auto other_value = [&]() -> Result<std::string> {
    if (additional == nullptr || additional->is_bool()) return any_value(g_, "value");
    return write_inside(*additional, pointer + "/additionalProperties", depth);
  };
  for (const std::string& name : required) {
    if (properties.contains(name)) continue;
    SKEP_TRY(const std::string value, other_value());
    add(name, value, true);
  }

  const auto needed = std::count_if(all.begin(), all.end(), [](const Property& p) { return p.required; });
  SKEP_TRY(const auto least, count(schema, "minProperties", pointer, kMostItems));
  SKEP_TRY(const auto most, count(schema, "maxProperties", pointer, kMostItems));
  if (least && *least > needed) return unsupported(pointer, "minProperties", "is only supported for maps");
  if (most && (!closed || *most < static_cast<int>(all.size()))) {
    return unsupported(pointer, "maxProperties", "is only supported for maps");
  }

  std::string tail = "\"\"", other;
  if (!closed) {
    SKEP_TRY(const std::string value, other_value());
    other = g_.rule("other-pair", fmt::format(R"({} ":" {} {})", other_name(names), ws, value));
    tail = g_.rule("others", fmt::format(R"(({0} "," {0} {1})*)", ws, other));
  }
  std::vector<std::string> heads;  // alternatives for the first pair
  if (needed == 0 && !closed) heads.push_back(other + " " + tail);
  for (size_t i = all.size(); i-- > 0;) {
    const bool may_lead = std::none_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(i),
                                       [](const Property& p) { return p.required; });
    if (may_lead) heads.push_back(tail == "\"\"" ? all[i].pair : all[i].pair + " " + tail);
    const std::string next = fmt::format(R"({0} "," {0} {1})", ws, all[i].pair);
    const std::string body = all[i].required ? next : "(" + next + ")?";
    tail = g_.rule(hint(pointer) + "-rest", tail == "\"\"" ? body : body + " " + tail);
    SKEP_CHECK(check_size(pointer, depth));
  }
  return g_.rule(hint(pointer), enclosed(g_, '{', Gbnf::any_of(heads), needed == 0, '}'));
}

// Any names, values of one kind.
Result<std::string> SchemaWriter::write_map(const Object& schema, const json::value* values, const std::string& pointer,
                                            int depth) {
  SKEP_TRY(const auto least, count(schema, "minProperties", pointer, kMostItems));
  SKEP_TRY(const auto most, count(schema, "maxProperties", pointer, kMostItems));
  if (values == nullptr || values->is_bool()) {
    if (!least && !most) return any_value(g_, "object");
  }
  std::string value = any_value(g_, "value");
  if (values != nullptr && !values->is_bool()) {
    SKEP_TRY(value, write_inside(*values, pointer + "/additionalProperties", depth));
  }
  const int from = least.value_or(0), to = most.value_or(-1);
  if (to >= 0 && to < from) return unsupported(pointer, "maxProperties", "is below minProperties");
  const std::string ws = space(g_);
  if (to == 0) return g_.rule("empty", enclosed(g_, '{', "", false, '}'));
  const std::string pair = g_.rule("pair", fmt::format(R"({} ":" {} {})", any_string(g_), ws, value));
  const std::string next = g_.rule("next", fmt::format(R"({0} "," {0} {1})", ws, pair));
  const std::string some = pair + " " + g_.repeat(next, std::max(0, from - 1), to < 0 ? -1 : to - 1);
  return g_.rule(hint(pointer), enclosed(g_, '{', some, from == 0, '}'));
}

Result<std::string> SchemaWriter::write_array(const Object& schema, const std::string& pointer, int depth) {
  SKEP_TRY(const auto least, count(schema, "minItems", pointer, kMostItems));
  SKEP_TRY(const auto most, count(schema, "maxItems", pointer, kMostItems));
  const int from = least.value_or(0), to = most.value_or(-1);
  if (to >= 0 && to < from) return unsupported(pointer, "maxItems", "is below minItems");
  const std::string ws = space(g_);

  const auto* items = schema.if_contains("items");
  const auto* prefix = schema.if_contains("prefixItems");
  if (items != nullptr && items->is_array()) {  // before draft 2020-12
    prefix = items;
    items = schema.if_contains("additionalItems");
  }
  std::vector<std::string> leading;
  if (prefix != nullptr) {
    if (!prefix->is_array()) return unsupported(pointer, "prefixItems", "is not a list of schemas");
    for (size_t i = 0; i < prefix->get_array().size(); ++i) {
      SKEP_TRY(std::string item,
               write_inside(prefix->get_array()[i], fmt::format("{}/prefixItems/{}", pointer, i), depth));
      leading.push_back(std::move(item));
    }
  }
  const auto fixed = static_cast<int>(leading.size());
  const bool no_more = (items != nullptr && items->is_bool() && !items->get_bool()) || (to >= 0 && to <= fixed);
  if (no_more && from > fixed) return unsupported(pointer, "minItems", "asks for more items than there may be");
  std::string item;
  if (!no_more) {
    item = any_value(g_, "value");
    if (items != nullptr && !items->is_bool()) {
      SKEP_TRY(item, write_inside(*items, pointer + "/items", depth));
    }
  }

  // From the end, as in objects: what follows the i-th item; the first `from` are required.
  const int usable = to < 0 ? fixed : std::min(fixed, to);
  std::string tail;
  if (!no_more) {
    const std::string next = g_.rule("next", fmt::format(R"({0} "," {0} {1})", ws, item));
    const int before = std::max(1, usable);
    const std::string more = g_.repeat(next, std::max(0, from - before), to < 0 ? -1 : to - before);
    tail = fixed > 0 ? more : item + " " + more;
  }
  for (int i = usable; i-- > 0;) {
    const std::string& each = leading[static_cast<size_t>(i)];
    const std::string one = i == 0 ? each : fmt::format(R"({0} "," {0} {1})", ws, each);
    const std::string body = tail.empty() ? one : one + " " + tail;
    tail = i == 0 || i < from ? body : g_.rule(hint(pointer) + "-rest", "(" + body + ")?");
  }
  if (to == 0) tail.clear();
  return g_.rule(hint(pointer), enclosed(g_, '[', tail, from == 0, ']'));
}

Result<std::string> SchemaWriter::write_string(const Object& schema, const std::string& pointer) {
  SKEP_TRY(const auto least, count(schema, "minLength", pointer, kMostCharacters));
  SKEP_TRY(const auto most, count(schema, "maxLength", pointer, kMostCharacters));
  const bool counted = (least && *least > 0) || most;
  const auto* pattern = schema.if_contains("pattern");
  const auto* format = schema.if_contains("format");
  if (counted && (pattern != nullptr || format != nullptr)) {
    return unsupported(pointer, least && *least > 0 ? "minLength" : "maxLength",
                       "beside pattern or format is not supported");
  }
  if (pattern != nullptr && format != nullptr) return unsupported(pointer, "format", "beside pattern is not supported");
  if (pattern != nullptr) {
    if (!pattern->is_string()) return unsupported(pointer, "pattern", "is not a string");
    auto inside = pattern_expression(pattern->get_string(), g_);
    if (!inside) return unsupported(pointer, "pattern", fmt::format("can't be used: {}", inside.error().message));
    return g_.rule(hint(pointer), fmt::format(R"("\"" {} "\"")", *inside));
  }
  if (format != nullptr) {
    if (!format->is_string()) return unsupported(pointer, "format", "is not a string");
    const auto rule = format_rule(format->get_string(), g_);
    if (!rule) {
      return unsupported(
          pointer, "format",
          fmt::format("is \"{}\"; known are {}", std::string_view(format->get_string()), known_formats()));
    }
    return g_.rule(hint(pointer), fmt::format(R"("\"" {} "\"")", *rule));
  }
  if (!counted) return any_string(g_);
  const int from = least.value_or(0), to = most.value_or(-1);
  if (to >= 0 && to < from) return unsupported(pointer, "maxLength", "is below minLength");
  return g_.rule(hint(pointer), fmt::format(R"("\"" {} "\"")", g_.repeat(string_character(g_), from, to)));
}

Result<std::optional<int64_t>> SchemaWriter::bound(const Object& schema, const std::string& pointer, bool lower,
                                                   bool integer) const {
  std::optional<int64_t> tightest;
  for (const bool exclusive : {false, true}) {
    const std::string_view keyword =
        lower ? (exclusive ? "exclusiveMinimum" : "minimum") : (exclusive ? "exclusiveMaximum" : "maximum");
    const auto* value = schema.if_contains(keyword);
    if (value == nullptr) continue;
    if (!value->is_number()) return unsupported(pointer, keyword, "is not a number");
    const auto number = value->to_number<double>();
    if (std::abs(number) > 1e15) return unsupported(pointer, keyword, "is larger than 1e15");
    if (!integer && exclusive) return unsupported(pointer, keyword, "is only supported for integers");
    if (!integer && number != std::floor(number)) return unsupported(pointer, keyword, "of numbers has to be whole");
    double limit = lower ? std::ceil(number) : std::floor(number);
    if (exclusive && limit == number) limit += lower ? 1 : -1;
    const auto whole = static_cast<int64_t>(limit);
    if (!tightest || (lower ? whole > *tightest : whole < *tightest)) tightest = whole;
  }
  return tightest;
}

Result<std::string> SchemaWriter::write_number(const Object& schema, const std::string& pointer, bool integer) {
  if (const auto* multiple = schema.if_contains("multipleOf");
      multiple != nullptr && !(integer && multiple->is_number() && multiple->to_number<double>() == 1)) {
    return unsupported(pointer, "multipleOf", "is not supported");
  }
  SKEP_TRY(const auto low, bound(schema, pointer, true, integer));
  SKEP_TRY(const auto high, bound(schema, pointer, false, integer));
  if (low && high && *low > *high) {
    return unsupported(pointer, schema.contains("maximum") ? "maximum" : "exclusiveMaximum", "is below the minimum");
  }
  if (!low && !high) {
    return integer ? g_.rule("integer", std::string(kInteger)) : g_.rule("number", std::string(kNumber));
  }
  return g_.rule(hint(pointer), integer ? integer_range(low, high) : number_range(low, high));
}

// A quoted name that is none of those taken: a tree of the taken ones, left at any character that leads to none. No
// escapes, which could spell a taken name in another way.
std::string SchemaWriter::other_name(const std::vector<std::string>& taken) {
  CharacterSet special;
  special.add(0, 0x1F);
  special.add('"', '"');
  special.add('\\', '\\');
  special.add(0x7F, 0x7F);
  special.add(0xD800, 0xDFFF);
  const std::string any = g_.rule("name-char", Gbnf::character_class(special.complement()));
  struct Node {
    std::map<uint32_t, size_t> next;
    bool ends = false;
  };
  std::vector<Node> tree(1);
  for (const std::string& name : taken) {
    size_t node = 0;
    for (size_t at = 0; at < name.size();) {
      const uint32_t c = next_code_point(name, at);
      if (special.contains(c)) break;  // such a name can't be spelled without an escape; what comes so far is not it
      const auto [found, is_new] = tree[node].next.emplace(c, tree.size());
      const size_t child = found->second;
      if (is_new) tree.emplace_back();
      node = child;
      if (at == name.size()) tree[node].ends = true;
    }
    if (name.empty()) tree[0].ends = true;
  }
  // Children have higher numbers than their parents, so from the back all are written.
  std::vector<std::string> rules(tree.size());
  for (size_t i = tree.size(); i-- > 0;) {
    std::vector<std::string> parts;
    CharacterSet known = special;
    for (const auto& [c, child] : tree[i].next) {
      CharacterSet one;
      one.add(c, c);
      parts.push_back(Gbnf::character_class(one) + " " + rules[child]);
      known.add(c, c);
    }
    parts.push_back(Gbnf::character_class(known.complement()) + " " + any + "*");
    if (!tree[i].ends) parts.emplace_back("\"\"");
    rules[i] = g_.rule("name", Gbnf::any_of(parts));
  }
  return g_.rule("other-name", fmt::format(R"("\"" {} "\"")", rules[0]));
}

}  // namespace

Result<std::string> add_schema(std::string_view schema, std::string_view what, Gbnf& grammar,
                               const SchemaLimits& limits) {
  SKEP_TRY(const json::value document, parse_json(schema, what, {.size = Bytes(static_cast<int64_t>(limits.bytes))}));
  return SchemaWriter(document, what, grammar, limits).write(document, "", 0);
}

Result<std::string> schema_grammar(std::string_view schema, const SchemaLimits& limits) {
  Gbnf grammar;
  SKEP_TRY(const std::string root, add_schema(schema, "schema", grammar, limits));
  return grammar.text(root);
}

std::string any_object(Gbnf& grammar) { return any_value(grammar, "object"); }

}  // namespace skep::language
