#include "mind/language/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <set>
#include <vector>

#include "base/json.h"
#include "mind/language/json_values.h"
#include "mind/language/schema_merge.h"
#include "mind/language/schema_writer.h"

namespace skep::language {
namespace {

namespace json = boost::json;

// Known to JSON Schema, not to us.
constexpr std::array<std::string_view, 16> kUnsupported = {"not",
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
                                                           "unevaluatedProperties",
                                                           "unevaluatedItems",
                                                           "$dynamicRef",
                                                           "$recursiveRef"};

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

}  // namespace

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
    if (schema.get_bool()) return any_value(g_);
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
      return any_value(g_);
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

}  // namespace skep::language
