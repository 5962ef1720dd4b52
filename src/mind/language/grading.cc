#include "mind/language/grading.h"

#include <boost/json.hpp>

#include "base/json.h"

namespace skep::language {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string_view last_line(std::string_view text) {
  text = trimmed(text);
  size_t end = text.rfind('\n');
  return end == std::string_view::npos ? text : trimmed(text.substr(end + 1));
}

bool looks_like_json(std::string_view text) { return text.starts_with('{') || text.starts_with('['); }

}  // namespace

bool says(std::string_view answer, std::string_view expected) {
  expected = trimmed(expected);
  answer = trimmed(answer);
  if (answer == expected || last_line(answer) == expected) return true;
  if (!looks_like_json(expected)) return false;
  auto wanted = parse_json(expected, "expected");
  if (!wanted) return false;
  for (std::string_view part : {answer, last_line(answer)}) {
    auto given = parse_json(part, "answer");
    if (given && *given == *wanted) return true;
  }
  return false;
}

}  // namespace skep::language
