#pragma once
// Tags of cached answers as databases keep them: printable ASCII, whatever bytes they have, and readable where they are
// that already ("agent:ann"). As in URLs, anything else is % and two hex digits.

#include <charconv>
#include <string>
#include <string_view>

namespace skep::store {

inline std::string tag_text(std::string_view tag) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : tag) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > ' ' && byte < 0x7f && c != '%') {
      text += c;
    } else {
      text += '%';
      text += kDigits[byte >> 4];
      text += kDigits[byte & 15];
    }
  }
  return text;
}

inline std::string tag_from_text(std::string_view text) {
  std::string tag;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr == text.data() + i + 3) {
      tag += static_cast<char>(byte);
      i += 2;
    } else {
      tag += text[i];
    }
  }
  return tag;
}

}  // namespace skep::store
