// The streams of servers elsewhere: whatever they send, however it is cut, the parsers neither crash nor lose bounds,
// and where the cuts are makes no difference.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "model/answer_stream.h"
#include "model/http_dialect.h"
#include "model/stream_parser.h"

namespace {

using skep::model::AnswerStream;
using skep::model::HttpDialect;

// All the text and how it ended, as one string.
std::string answer(HttpDialect dialect, bool raw, std::string_view bytes, size_t step) {
  AnswerStream stream(dialect, raw);
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += step) {
    auto pieces = stream.feed(bytes.substr(at, step));
    if (!pieces) return "error " + pieces.error().message;
    for (const auto& piece : *pieces) text += piece.text;
  }
  auto end = stream.end();
  if (!end) return "error " + end.error().message;
  return text + "|" + std::to_string(end->usage.completion_tokens);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 65536) return 0;
  auto dialect = data[0] % 2 == 0 ? HttpDialect::openai : HttpDialect::ollama;
  bool raw = data[0] / 2 % 2 == 1;
  size_t step = 1 + data[1];
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (answer(dialect, raw, bytes, bytes.size() + 1) != answer(dialect, raw, bytes, step)) std::abort();
  (void)skep::model::parse_embeddings(dialect, bytes, 1 + data[1] % 4);
  (void)skep::model::http_error(500, bytes, "server", "");
  return 0;
}
