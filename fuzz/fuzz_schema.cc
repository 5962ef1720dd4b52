// Any text as a JSON Schema: it is converted or refused, without a crash and within bounds; what is accepted is a
// grammar that names only rules it has.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mind/language/gbnf_recogniser.h"
#include "mind/language/json_schema.h"

using namespace skep::language;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto grammar = schema_grammar({reinterpret_cast<const char*>(data), size});
  if (!grammar) {
    if (grammar.error().code != skep::ErrorCode::invalid_argument &&
        grammar.error().code != skep::ErrorCode::too_large) {
      std::abort();
    }
    return 0;
  }
  GbnfRecogniser recogniser(*grammar);  // throws, and so ends the run, on a grammar that is none
  recogniser.matches("{}");
  return 0;
}
