#include "engine/utf8_stream.h"

#include <cstddef>
#include <cstdint>

namespace skep::engine {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Lead {
  size_t length;      // bytes of the character; 0: no character begins so, or none that we let through
  uint8_t low, high;  // what the second byte may be (no overlong forms, surrogates or values over U+10FFFF)
};

Lead lead_of(uint8_t b) {
  if (b == 0) return {0, 0, 0};
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xC2) return {0, 0, 0};
  if (b < 0xE0) return {2, 0x80, 0xBF};
  if (b < 0xF0)
    return {3, static_cast<uint8_t>(b == 0xE0 ? 0xA0 : 0x80), static_cast<uint8_t>(b == 0xED ? 0x9F : 0xBF)};
  if (b < 0xF5)
    return {4, static_cast<uint8_t>(b == 0xF0 ? 0x90 : 0x80), static_cast<uint8_t>(b == 0xF4 ? 0x8F : 0xBF)};
  return {0, 0, 0};
}

}  // namespace

std::string Utf8Stream::feed(std::string_view bytes) {
  held_.append(bytes);
  std::string out;
  out.reserve(held_.size());
  size_t at = 0;
  while (at < held_.size()) {
    const Lead lead = lead_of(static_cast<uint8_t>(held_[at]));
    size_t valid = lead.length == 0 ? 0 : 1;
    while (valid > 0 && valid < lead.length && at + valid < held_.size()) {
      const auto b = static_cast<uint8_t>(held_[at + valid]);
      if (b < (valid == 1 ? lead.low : 0x80) || b > (valid == 1 ? lead.high : 0xBF)) break;
      ++valid;
    }
    if (valid > 0 && valid == lead.length) {
      out.append(held_, at, valid);
      at += valid;
    } else if (valid > 0 && at + valid == held_.size()) {
      break;  // the rest may still come
    } else {
      out.append(kReplacement);
      at += valid == 0 ? 1 : valid;
    }
  }
  held_.erase(0, at);
  return out;
}

std::string Utf8Stream::finish() {
  std::string out(held_.empty() ? std::string_view() : kReplacement);
  held_.clear();
  return out;
}

}  // namespace skep::engine
