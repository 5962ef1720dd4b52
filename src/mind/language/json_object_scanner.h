#pragma once
// Finds where a JSON object ends, fed piece by piece: counts braces and brackets outside of strings. It does not
// validate; that is for the parser once the object is complete.

#include <cstddef>
#include <optional>
#include <string_view>

namespace skep::language {

class JsonObjectScanner {
 public:
  // `text` begins with '{' and grows from call to call; only what is new is looked at. Returns the length of the object
  // once it is complete.
  std::optional<size_t> scan(std::string_view text) {
    for (; at_ < text.size(); ++at_) {
      const char c = text[at_];
      if (in_string_) {
        if (escaped_) {
          escaped_ = false;
        } else if (c == '\\') {
          escaped_ = true;
        } else if (c == '"') {
          in_string_ = false;
        }
      } else if (c == '"') {
        in_string_ = true;
      } else if (c == '{' || c == '[') {
        ++depth_;
      } else if ((c == '}' || c == ']') && --depth_ == 0) {
        return ++at_;
      }
    }
    return std::nullopt;
  }

  // The first `bytes` were removed from the text.
  void dropped(size_t bytes) { at_ -= bytes; }

 private:
  size_t at_ = 0;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

}  // namespace skep::language
