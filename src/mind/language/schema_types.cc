// What schemas say of objects, arrays, strings and numbers.

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <set>
#include <vector>

#include "mind/language/json_values.h"
#include "mind/language/number_range.h"
#include "mind/language/pattern.h"
#include "mind/language/schema_writer.h"
#include "mind/language/string_format.h"

namespace skep::language {
namespace {

namespace json = boost::json;

constexpr int kMostCharacters = 10000;  // of minLength, maxLength
constexpr int kMostItems = 1000;        // of minItems, maxItems, minProperties, maxProperties

std::string escaped_pointer(std::string_view token) {
  std::string out;
  for (const char c : token) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

}  // namespace

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
    if (additional == nullptr || additional->is_bool()) return any_value(g_);
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
    if (!least && !most) return any_object(g_);
  }
  std::string value = any_value(g_);
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
  } else if (schema.contains("additionalItems")) {
    return unsupported(pointer, "additionalItems", "means something beside a list of items only; say it with items");
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
    item = any_value(g_);
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

}  // namespace skep::language
