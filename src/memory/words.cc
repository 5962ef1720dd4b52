#include "memory/words.h"

#include <clocale>
#include <cstdint>
#include <cwctype>
#include <utility>

namespace skep::memory {
namespace {

// glibc's own tables: this locale is built in, whatever the machine's settings and files are.
locale_t unicode() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 1;
  bool good = false;
};

// The one at the beginning of `text`, which is not empty and no ASCII.
CodePoint decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t bytes = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : byte(0) >= 0xc2 ? 2 : 0;
  if (bytes == 0 || text.size() < bytes) return {};
  uint32_t value = byte(0) & (0x7fU >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return {};
    value = value << 6U | (byte(i) & 0x3fU);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kLeast[bytes] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return {};
  return {value, bytes, true};
}

void append(std::string& word, uint32_t c) {
  const auto put = [&](uint32_t byte) { word += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0U | c >> 6U);
  } else if (c < 0x10000) {
    put(0xe0U | c >> 12U);
    put(0x80U | (c >> 6U & 0x3fU));
  } else {
    put(0xf0U | c >> 18U);
    put(0x80U | (c >> 12U & 0x3fU));
    put(0x80U | (c >> 6U & 0x3fU));
  }
  put(0x80U | (c & 0x3fU));
}

bool is_letter(uint32_t c) {
  const bool accent = c >= 0x300 && c < 0x370;  // a combining one belongs to the letter before it
  return accent || (unicode() != nullptr ? iswalnum_l(static_cast<wint_t>(c), unicode()) != 0 : c >= 0xaa);
}

uint32_t lower(uint32_t c) {
  return unicode() != nullptr ? static_cast<uint32_t>(towlower_l(static_cast<wint_t>(c), unicode())) : c;
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) words.push_back(std::exchange(word, {}));
  };
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    if (c < 0x80) {
      const bool upper = c >= 'A' && c <= 'Z';
      if (upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
        word += static_cast<char>(upper ? c + ('a' - 'A') : c);
      } else {
        end_word();
      }
      text.remove_prefix(1);
      continue;
    }
    const CodePoint point = decode(text);
    if (point.good && is_letter(point.value)) {
      append(word, lower(point.value));
    } else {
      end_word();
    }
    text.remove_prefix(point.bytes);
  }
  end_word();
  return words;
}

}  // namespace skep::memory
