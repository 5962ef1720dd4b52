#include "api/wire/fields.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "api/wire/json_text.h"
#include "base/json.h"

namespace skep::api::wire {

namespace json = boost::json;

Parsed<json::object> parse_body(std::string_view body) {
  auto value = parse_json(body, "request body", {.size = 64_MiB});  // the HTTP server has its own, tighter limit
  if (!value) return tl::unexpected(ApiError{value.error(), ""});
  if (!value->is_object()) {
    return tl::unexpected(ApiError{{ErrorCode::invalid_argument, "the request body must be a JSON object", ""}, ""});
  }
  return std::move(value->get_object());
}

std::string Fields::path_of(std::string_view name) const {
  if (path_.empty()) return std::string(name);
  return name.empty() ? path_ : fmt::format("{}.{}", path_, name);
}

void Fields::bad(std::string_view name, std::string message, ErrorCode code) {
  if (*error_) return;
  std::string param = path_of(name);
  constexpr size_t longest = 500;  // messages quote what clients sent
  if (message.size() > longest) message = valid_utf8(message.substr(0, longest)) + "…";
  *error_ = ApiError{{code, fmt::format("{}: {}", param, message), ""}, param};
}

const json::value* Fields::find(std::string_view name) const {
  const json::value* value = object_->if_contains(json::string_view(name.data(), name.size()));
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<std::string> Fields::text(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (const json::string* text = value->if_string()) return std::string(text->data(), text->size());
  bad(name, "must be a string");
  return std::nullopt;
}

std::string Fields::required_text(std::string_view name) {
  auto value = text(name);
  if (!value || value->empty()) bad(name, "is required");
  return value.value_or("");
}

std::optional<std::string> Fields::one_of(std::string_view name, std::initializer_list<std::string_view> choices) {
  auto value = text(name);
  if (value && std::find(choices.begin(), choices.end(), *value) == choices.end()) {
    bad(name, fmt::format("must be one of {}", fmt::join(choices, ", ")));
  }
  return value;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (const bool* yes = value->if_bool()) return *yes;
  bad(name, "must be true or false");
  return std::nullopt;
}

std::optional<float> Fields::number(std::string_view name, double least, double most) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    bad(name, "must be a number");
    return std::nullopt;
  }
  double number = value->to_number<double>();
  if (!(number >= least && number <= most)) {
    bad(name, fmt::format("must be between {} and {}", least, most));
    return std::nullopt;
  }
  return static_cast<float>(number);
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t least, int64_t most) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  double number = value->is_number() ? value->to_number<double>() : std::nan("");
  if (!(std::floor(number) == number)) {
    bad(name, "must be an integer");
    return std::nullopt;
  }
  // 2^63 is a double, and the first that no int64_t holds.
  bool inside = number >= static_cast<double>(least) && number <= static_cast<double>(most) && number < 0x1p63;
  if (!inside) {
    bad(name, fmt::format("must be between {} and {}", least, most));
    return std::nullopt;
  }
  return value->is_int64() ? value->get_int64() : static_cast<int64_t>(number);
}

std::vector<std::string> Fields::texts(std::string_view name, size_t most) {
  const json::value* value = find(name);
  if (value == nullptr) return {};
  if (value->is_string()) return {text_or(name, "")};
  const json::array* array = value->if_array();
  if (array == nullptr || std::any_of(array->begin(), array->end(), [](const auto& v) { return !v.is_string(); })) {
    bad(name, "must be a string or an array of strings");
    return {};
  }
  if (array->size() > most) {
    bad(name, fmt::format("has {} elements, at most {} are possible", array->size(), most));
    return {};
  }
  std::vector<std::string> result;
  for (const auto& element : *array) result.emplace_back(element.get_string().data(), element.get_string().size());
  return result;
}

std::optional<Fields> Fields::object(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (const json::object* object = value->if_object()) return Fields(*object, *error_, path_of(name));
  bad(name, "must be an object");
  return std::nullopt;
}

std::vector<Fields> Fields::objects(std::string_view name, size_t most) {
  const json::value* value = find(name);
  if (value == nullptr) return {};
  const json::array* array = value->if_array();
  if (array == nullptr) {
    bad(name, "must be an array");
    return {};
  }
  if (array->size() > most) {
    bad(name, fmt::format("has {} elements, at most {} are possible", array->size(), most));
    return {};
  }
  std::vector<Fields> result;
  for (size_t i = 0; i < array->size(); ++i) {
    std::string element = fmt::format("{}[{}]", name, i);
    if (const json::object* object = (*array)[i].if_object()) {
      result.emplace_back(*object, *error_, path_of(element));
    } else {
      bad(element, "must be an object");
    }
  }
  return result;
}

std::string Fields::raw_object(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_object()) {
    bad(name, "must be an object");
    return {};
  }
  return json::serialize(*value);
}

}  // namespace skep::api::wire
