#pragma once
// Reading JSON that others wrote: missing and oddly typed fields are common, so each reader has its fallback. For .cc
// files that read other programs' answers.

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

namespace skep::model::json_fields {

namespace json = boost::json;

// Null when `from` is null, no object, or has no such field: readers can be nested.
inline const json::value* field(const json::value* from, std::string_view name) {
  const json::object* object = from == nullptr ? nullptr : from->if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

inline std::string text_of(const json::value* from) {
  const json::string* text = from == nullptr ? nullptr : from->if_string();
  return text == nullptr ? std::string() : std::string(*text);
}

inline int64_t number_of(const json::value* from) {
  if (from == nullptr) return 0;
  if (const int64_t* number = from->if_int64()) return *number;
  if (const uint64_t* number = from->if_uint64()) return static_cast<int64_t>(*number & INT64_MAX);
  if (const double* number = from->if_double(); number != nullptr && std::abs(*number) < 9e18)
    return static_cast<int64_t>(*number);
  return 0;
}

inline int count_of(const json::value* from) {
  return static_cast<int>(std::clamp<int64_t>(number_of(from), 0, 1 << 30));
}

// {"error": {"message": …}}, {"error": "…"}, {"message": "…"}.
inline std::string message_of(const json::value& body) {
  if (std::string text = text_of(field(field(&body, "error"), "message")); !text.empty()) return text;
  if (std::string text = text_of(field(&body, "error")); !text.empty()) return text;
  return text_of(field(&body, "message"));
}

}  // namespace skep::model::json_fields
