#pragma once
// Reads typed fields out of a JSON object and remembers the first one that is wrong, by its path. A request parser
// reads everything it knows and asks for error() once at the end; unknown fields are ignored and null means absent.

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/api_error.h"

namespace skep::api::wire {

class Fields {
 public:
  // `error` takes the first complaint and must outlive the reader, as must the object.
  Fields(const boost::json::object& object, std::optional<ApiError>& error, std::string path = {})
      : object_(&object), error_(&error), path_(std::move(path)) {}

  [[nodiscard]] bool has(std::string_view name) const { return find(name) != nullptr; }
  [[nodiscard]] const boost::json::value* find(std::string_view name) const;  // nullptr: absent or null

  std::optional<std::string> text(std::string_view name);
  std::string text_or(std::string_view name, std::string_view fallback) {
    return text(name).value_or(std::string(fallback));
  }
  std::string required_text(std::string_view name);
  std::optional<std::string> one_of(std::string_view name, std::initializer_list<std::string_view> choices);
  std::optional<bool> boolean(std::string_view name);
  std::optional<float> number(std::string_view name, double least, double most);
  std::optional<int64_t> integer(std::string_view name, int64_t least, int64_t most);  // 3.0 counts as one
  // A string, or an array of strings.
  std::vector<std::string> texts(std::string_view name, size_t most);
  std::optional<Fields> object(std::string_view name);
  // The elements as objects; anything else among them is an error.
  std::vector<Fields> objects(std::string_view name, size_t most);
  std::string raw_object(std::string_view name);  // its JSON text; empty if absent

  void bad(std::string_view name, std::string message, ErrorCode code = ErrorCode::invalid_argument);
  [[nodiscard]] bool failed() const { return error_->has_value(); }
  [[nodiscard]] std::string path_of(std::string_view name) const;

 private:
  const boost::json::object* object_;
  std::optional<ApiError>* error_;
  std::string path_;
};

// The request body as an object: 400 for anything else.
Parsed<boost::json::object> parse_body(std::string_view body);

}  // namespace skep::api::wire
