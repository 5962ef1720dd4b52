#pragma once
// JSON Schema to GBNF, so that a model can write nothing but JSON that is valid under the schema. Every text that the
// grammar accepts is valid; it accepts at least one spelling of every value that the schema allows, with these limits:
//   - properties come in the order in which they are declared; where `additionalProperties` is not given, an object
//     with `properties` has no others
//   - `oneOf` is read as `anyOf`; a schema without `type` has the type that its keywords are about
//   - white space: at most one space, or one newline with up to 20 blanks
//   - open integers have up to 18 digits, fractions up to 16; formats are written in one plain way
// Known: type (also several), enum, const, properties, required, additionalProperties, min/maxProperties (of maps),
// items, prefixItems, min/maxItems, min/maxLength, pattern, format, minimum, maximum, exclusive ones of integers,
// $ref inside the document (also recursive), $defs, anyOf, oneOf, allOf of what can be merged, nullable, true.
// A keyword that is known to JSON Schema and not listed is invalid_argument, naming it and its JSON pointer;
// annotations and unknown words are ignored.

#include <string>
#include <string_view>

#include "base/result.h"
#include "mind/language/gbnf.h"

namespace skep::language {

struct SchemaLimits {
  size_t bytes = size_t{256} << 10;          // of the schema
  int depth = 40;                            // of nesting and of references in a row
  size_t steps = 20000;                      // schemas visited, references included
  size_t rules = 4000;                       // of the grammar
  size_t grammar_bytes = size_t{512} << 10;  // of the grammar
};

// Adds the rules of this schema and gives the expression to refer to. `what` names the schema in errors.
Result<std::string> add_schema(std::string_view schema, std::string_view what, Gbnf& grammar,
                               const SchemaLimits& limits = {});

// The grammar whose root is this schema.
Result<std::string> schema_grammar(std::string_view schema, const SchemaLimits& limits = {});

}  // namespace skep::language
