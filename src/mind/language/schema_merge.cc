#include "mind/language/schema_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

namespace skep::language {
namespace {

namespace json = boost::json;

json::array as_list(const json::value& value) {
  if (value.is_array()) return value.get_array();
  return json::array{value};
}

bool holds(const json::array& list, const json::value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

json::array intersection(const json::array& a, const json::array& b) {
  json::array both;
  for (const json::value& value : a) {
    if (holds(b, value)) both.push_back(value);
  }
  return both;
}

// An integer is a number.
json::array common_types(const json::array& a, const json::array& b) {
  json::array both = intersection(a, b);
  for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    if (holds(*one, "integer") && holds(*other, "number") && !holds(both, "integer")) both.emplace_back("integer");
  }
  return both;
}

double number(const json::value& value) { return value.is_number() ? value.to_number<double>() : 0; }

// Both schemas hold for what this stands for: one is kept if the other adds nothing, else an allOf of the two.
json::value both(const json::value& a, const json::value& b) {
  if (a == b || (b.is_bool() && b.get_bool())) return a;
  if (a.is_bool()) return a.get_bool() ? b : a;
  if (b.is_bool()) return b;
  return json::object{{"allOf", json::array{a, b}}};
}

bool closed(const json::object& schema) {
  const auto* additional = schema.if_contains("additionalProperties");
  return additional != nullptr && additional->is_bool() && !additional->get_bool();
}

// A property that only one names must not exist where the other one allows no additional ones.
json::object properties(const json::object& a, const json::object& b) {
  static const json::object none;
  const auto of = [](const json::object& schema) -> const json::object& {
    const auto* found = schema.if_contains("properties");
    return found != nullptr && found->is_object() ? found->get_object() : none;
  };
  json::object all;
  for (const auto& [name, schema] : of(a)) {
    if (const auto* other = of(b).if_contains(name)) {
      all[name] = both(schema, *other);
    } else if (!closed(b)) {
      all[name] = schema;
    }
  }
  for (const auto& [name, schema] : of(b)) {
    if (!of(a).contains(name) && !closed(a)) all[name] = schema;
  }
  return all;
}

}  // namespace

Result<json::object> merged_schemas(const json::object& a, const json::object& b, const std::string& pointer) {
  json::object merged = a;
  for (const auto& [key, value] : b) {
    const auto* mine = a.if_contains(key);
    if (mine == nullptr || *mine == value) {
      merged[key] = value;
      continue;
    }
    if (key == "properties") continue;  // below
    if (key == "type") {
      json::array types = common_types(as_list(*mine), as_list(value));
      if (types.empty()) {
        return fail(ErrorCode::invalid_argument, fmt::format("{}/type: nothing can have both types", pointer));
      }
      merged[key] = types.size() == 1 ? types.front() : json::value(std::move(types));
    } else if (key == "required" || key == "allOf") {
      json::array all = as_list(*mine);
      for (const json::value& each : as_list(value)) {
        if (!holds(all, each)) all.push_back(each);
      }
      merged[key] = std::move(all);
    } else if (key == "enum") {
      json::array values = intersection(as_list(*mine), as_list(value));
      if (values.empty())
        return fail(ErrorCode::invalid_argument, fmt::format("{}/enum: no value is in both", pointer));
      merged[key] = std::move(values);
    } else if (key.starts_with("min") || key == "exclusiveMinimum") {
      merged[key] = number(*mine) > number(value) ? *mine : value;
    } else if (key.starts_with("max") || key == "exclusiveMaximum") {
      merged[key] = number(*mine) < number(value) ? *mine : value;
    } else if (key == "additionalProperties" || key == "items") {
      merged[key] = both(*mine, value);
    } else if (key == "anyOf" || key == "oneOf") {
      json::array all = merged.contains("allOf") ? as_list(merged["allOf"]) : json::array{};
      all.push_back(json::object{{"anyOf", value}});
      merged["allOf"] = std::move(all);
    } else if (key == "pattern" || key == "format" || key == "const" || key == "prefixItems" || key == "$ref" ||
               key == "multipleOf" || key == "not" || key == "if") {
      return fail(ErrorCode::invalid_argument, fmt::format("{}/{}: two different ones that both hold are not supported",
                                                           pointer, std::string_view(key)));
    }
    // Anything else is an annotation: the first one stays.
  }
  if (a.contains("properties") || b.contains("properties")) merged["properties"] = properties(a, b);
  return merged;
}

}  // namespace skep::language
