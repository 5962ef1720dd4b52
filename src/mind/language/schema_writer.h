#pragma once
// The insides of json_schema.h: one schema document on its way into a grammar. json_schema.cc has references and
// combinations, schema_types.cc what is said of objects, arrays, strings and numbers.

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mind/language/gbnf.h"
#include "mind/language/json_schema.h"

namespace skep::language {

// `pointer` is the JSON pointer of the schema at hand, `depth` how many are around it. What is returned is an
// expression to refer to: a rule's name or an alternative in parentheses.
class SchemaWriter {
 public:
  SchemaWriter(const boost::json::value& document, std::string_view what, Gbnf& grammar, const SchemaLimits& limits)
      : document_(document), what_(what), g_(grammar), limits_(limits) {}

  // The schema of the value at hand.
  Result<std::string> write(const boost::json::value& schema, const std::string& pointer, int depth);

 private:
  using Object = boost::json::object;

  tl::unexpected<Error> unsupported(const std::string& pointer, std::string_view keyword, std::string_view why) const {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: {} at #{}/{} {}", what_, keyword, pointer, keyword, why));
  }
  static std::string hint(const std::string& pointer) {
    const size_t slash = pointer.rfind('/');
    return slash == std::string::npos ? "answer" : pointer.substr(slash + 1);
  }

  // The schema of a value inside the one at hand.
  Result<std::string> write_inside(const boost::json::value& schema, const std::string& pointer, int depth);
  Status check_size(const std::string& pointer, int depth);
  Result<const boost::json::value*> resolve(std::string_view ref, const std::string& pointer) const;
  Result<std::string> write_object_schema(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_reference(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_alternatives(const Object& schema, std::string_view keyword, const std::string& pointer,
                                         int depth);
  Result<std::string> write_all_of(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_values(const boost::json::array& values, const Object& schema, const std::string& pointer,
                                   std::string_view keyword);
  Result<std::string> write_type(std::string_view type, const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_object(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_map(const Object& schema, const boost::json::value* values, const std::string& pointer,
                                int depth);
  Result<std::string> write_array(const Object& schema, const std::string& pointer, int depth);
  Result<std::string> write_string(const Object& schema, const std::string& pointer);
  Result<std::string> write_number(const Object& schema, const std::string& pointer, bool integer);

  Result<std::optional<int>> count(const Object& schema, std::string_view keyword, const std::string& pointer,
                                   int most) const;
  Result<std::optional<int64_t>> bound(const Object& schema, const std::string& pointer, bool lower,
                                       bool integer) const;
  std::string other_name(const std::vector<std::string>& taken);

  const boost::json::value& document_;
  std::string what_;
  Gbnf& g_;
  SchemaLimits limits_;
  std::map<std::string, std::string, std::less<>> references_;  // $ref -> its rule
  size_t steps_ = 0;
  std::vector<std::string> open_;  // references that are being written for the value at hand
};

}  // namespace skep::language
