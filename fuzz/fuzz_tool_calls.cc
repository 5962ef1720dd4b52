// Any answer of a model, cut in any way: the joined result is the same as in one piece, nothing crashes, and nothing is
// held back at the end.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mind/language/tool_calls.h"

using namespace skep::language;

namespace {

// Content and calls apart, for their order inside one piece is not kept.
struct Joined {
  std::string content, reasoning, calls;
  void add(const Delta& delta) {
    content += delta.content;
    reasoning += delta.reasoning;
    for (const auto& call : delta.tool_calls) calls += call.id + call.name + call.arguments;
  }
  bool operator==(const Joined&) const = default;
};

}  // namespace

// The first byte chooses the format, the second the seed of the cuts.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  AnswerFormat format{.reasons = (data[0] & 2) != 0, .starts_in_reasoning = (data[0] & 4) != 0, .id_seed = data[0]};
  if ((data[0] & 1) != 0) format.tools = {"a", "search"};
  format.call_only = (data[0] & 8) != 0 && !format.tools.empty();
  uint32_t cut = data[1];
  const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);

  Joined whole, pieces;
  AnswerParser one(format);
  whole.add(one.feed(text));
  whole.add(one.finish());
  AnswerParser many(format);
  for (size_t at = 0; at < text.size();) {
    cut = cut * 1664525U + 1013904223U;
    const size_t length = 1 + (cut >> 28U);
    pieces.add(many.feed(text.substr(at, length)));
    at += length;
  }
  pieces.add(many.finish());
  if (!(whole == pieces)) std::abort();
  return 0;
}
