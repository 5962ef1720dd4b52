#include "mind/language/words.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace skep::language {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '\'' || (c & 0x80) != 0; }

bool starts_with_any(std::string_view line, std::initializer_list<std::string_view> heads) {
  return std::any_of(heads.begin(), heads.end(), [&](std::string_view head) { return line.starts_with(head); });
}

std::string_view trimmed(std::string_view line) {
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t')) line.remove_suffix(1);
  return line;
}

bool is_item(std::string_view line) {
  if (line.starts_with("- ") || line.starts_with("* ") || line.starts_with("\xE2\x80\xA2")) return true;
  size_t digits = 0;
  while (digits < line.size() && digits < 3 && std::isdigit(static_cast<unsigned char>(line[digits])) != 0) ++digits;
  return digits > 0 && digits + 1 < line.size() && (line[digits] == '.' || line[digits] == ')') &&
         line[digits + 1] == ' ';
}

bool is_source(std::string_view line) {
  if (line.size() > 2 && (line.ends_with(";") || line.ends_with("{") || line.ends_with("};"))) return true;
  return starts_with_any(line, {"def ", "class ", "import ", "from ", "#include", "fn ", "func ", "public ", "const ",
                                "let ", "var ", "return ", "SELECT ", "CREATE ", "INSERT ", "Traceback", "```", "$ "});
}

}  // namespace

Words::Words(std::string_view text) {
  std::string shortened;
  if (text.size() > 2 * kEnds) {
    shortened.assign(text.substr(0, kEnds)).append("\n").append(text.substr(text.size() - kEnds));
    text = shortened;
  }
  joined_.reserve(text.size() + 2);
  joined_ += ' ';
  for (const char c : text) {
    if (is_word(c)) {
      joined_ += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (joined_.back() != ' ') {
      joined_ += ' ';
    }
  }
  if (joined_.back() != ' ') joined_ += ' ';
  for (size_t from = 1; from < joined_.size();) {
    const size_t to = joined_.find(' ', from);
    words_.insert(std::string_view(joined_).substr(from, to - from));
    ++count_;
    from = to + 1;
  }
  layout(text);
}

bool Words::has(std::string_view cue) const {
  const bool prefix = cue.ends_with('*');
  if (prefix) cue.remove_suffix(1);
  if (!prefix && cue.find(' ') == std::string_view::npos) return words_.contains(cue);
  for (size_t at = joined_.find(cue); at != std::string::npos; at = joined_.find(cue, at + 1)) {
    // joined_ has a space at both ends, so the neighbours exist.
    if (joined_[at - 1] == ' ' && (prefix || joined_[at + cue.size()] == ' ')) return true;
  }
  return false;
}

void Words::layout(std::string_view text) {
  questions_ = static_cast<int>(std::count(text.begin(), text.end(), '?'));
  int source_lines = 0;
  for (size_t from = 0; from <= text.size();) {
    const size_t to = std::min(text.find('\n', from), text.size());
    const std::string_view line = trimmed(text.substr(from, to - from));
    if (is_item(line)) ++items_;
    if (line.starts_with("```")) code_block_ = true;
    if (is_source(line)) ++source_lines;
    from = to + 1;
  }
  code_block_ = code_block_ || source_lines >= 2;

  for (size_t i = 1; i + 1 < text.size(); ++i) {
    const char c = text[i];
    if (c != '=' && c != '^' && c != '\\' && c != '+' && c != '*') continue;
    const auto operand = [](char d) {
      return std::isalnum(static_cast<unsigned char>(d)) != 0 || d == ' ' || d == '(';
    };
    if (operand(text[i - 1]) && operand(text[i + 1])) ++formulas_;
  }
  for (size_t from = 1; from < joined_.size();) {
    const size_t to = joined_.find(' ', from);
    const std::string_view word = std::string_view(joined_).substr(from, to - from);
    if (word.size() <= 6 && std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      int number = 0;
      for (const char c : word) number = number * 10 + (c - '0');
      largest_number_ = std::max(largest_number_, std::min(number, 100000));
    }
    from = to + 1;
  }
}

}  // namespace skep::language
