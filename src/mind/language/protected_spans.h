#pragma once
// The parts of a prompt that compression must not touch: code, numbers, quotes, URLs and paths, JSON. Byte ranges.

#include <cstddef>
#include <string_view>
#include <vector>

namespace skep::language {

enum class Protection { code, json, quote, url, number, negation };
const char* to_string(Protection protection);

struct ProtectedSpan {
  size_t begin = 0, end = 0;  // bytes
  Protection why = Protection::code;
};

// In order, apart from each other, each on a boundary of UTF-8 characters.
//   code      fenced blocks (``` or ~~~, unclosed ones to the end), `inline`, lines indented by four spaces or a tab
//             after an empty line, words with _ or :: or () or a call's parenthesis in them
//   json      balanced {…} and […] that hold a quote, a colon or a comma; unclosed ones to the end of their line
//   quote     "…", “…”, «…», '…' at the beginning of a word, lines that begin with >
//   url       scheme://…, www.…, a@b.c, /paths/with/slashes, file.ext
//   number    what begins with a digit up to the next space, with a sign before it and the unit after it
//   negation  not, no, never, without, n't … : one word that turns the meaning round
std::vector<ProtectedSpan> protected_spans(std::string_view text);

}  // namespace skep::language
