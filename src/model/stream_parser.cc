#include "model/stream_parser.h"

#include <utility>

namespace skep::model {

namespace {
Status too_long(Bytes longest) {
  return fail(ErrorCode::too_large, fmt::format("a line of the stream is longer than {}", to_string(longest)));
}
}  // namespace

Status LineSplitter::feed(std::string_view bytes, const std::function<bool(std::string_view)>& line) {
  while (!bytes.empty()) {
    if (std::exchange(after_return_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    size_t end = bytes.find_first_of("\r\n");
    std::string_view part = bytes.substr(0, end);
    if (line_.size() + part.size() > static_cast<size_t>(longest_.count)) return too_long(longest_);
    if (end == std::string_view::npos) {
      line_.append(part);
      return {};
    }
    after_return_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    if (line_.empty()) {
      if (!line(part)) return {};
      continue;
    }
    std::string whole = std::exchange(line_, {});
    whole.append(part);
    if (!line(whole)) return {};
  }
  return {};
}

Status SseParser::feed(std::string_view bytes, const std::function<bool(std::string_view)>& event) {
  bool too_much = false;
  Status fed = lines_.feed(bytes, [&](std::string_view line) {
    if (std::exchange(first_line_, false) && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    if (line.empty()) {  // the end of an event
      std::string data = std::exchange(data_, {});
      return !std::exchange(has_data_, false) || event(data);
    }
    size_t colon = line.find(':');
    if (line.substr(0, colon) != "data") return true;
    std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (data_.size() + value.size() > static_cast<size_t>(longest_.count)) {
      too_much = true;
      return false;
    }
    if (std::exchange(has_data_, true)) data_ += '\n';
    data_ += value;
    return true;
  });
  if (too_much) return too_long(longest_);
  return fed;
}

}  // namespace skep::model
