#pragma once
// Cuts the two kinds of streamed answers into their parts, however the network cut the bytes: server-sent events
// (OpenAI) and newline-delimited JSON (Ollama). Input is not trusted; a part is bounded. Single-threaded.

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace skep::model {

// Lines that end with \n, \r\n or \r. Holds at most one unfinished line.
class LineSplitter {
 public:
  explicit LineSplitter(Bytes longest = 4_MiB) : longest_(longest) {}

  // Calls `line` for every whole line; it returns false to stop, and the rest of `bytes` is dropped. too_large for a
  // line over the limit; the stream is lost then.
  Status feed(std::string_view bytes, const std::function<bool(std::string_view line)>& line);
  // What stands after the last line end, once the stream has ended.
  [[nodiscard]] std::string_view rest() const { return line_; }

 private:
  Bytes longest_;
  std::string line_;
  bool after_return_ = false;  // a \n that follows a \r belongs to it
};

// The `data` of server-sent events (WHATWG HTML, 9.2.6): its lines joined by \n; comments, names and ids are skipped.
class SseParser {
 public:
  explicit SseParser(Bytes longest = 4_MiB) : longest_(longest), lines_(longest) {}

  // Calls `event` for every whole event; it returns false to stop, and the rest is dropped.
  Status feed(std::string_view bytes, const std::function<bool(std::string_view data)>& event);

 private:
  Bytes longest_;
  LineSplitter lines_;
  std::string data_;
  bool has_data_ = false;
  bool first_line_ = true;  // a byte order mark may stand before it
};

}  // namespace skep::model
