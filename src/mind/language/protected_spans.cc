#include "mind/language/protected_spans.h"

#include <algorithm>
#include <array>
#include <string>

namespace skep::language {
namespace {

bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}

constexpr std::array<std::string_view, 21> kNegations = {
    "not",    "no",   "never", "none",   "nothing", "nobody", "neither", "nor", "without", "cannot", "except",
    "unless", "only", "must",  "always", "all",     "any",    "every",   "but", "avoid",   "don't"};

class Finder {
 public:
  explicit Finder(std::string_view text) : text_(text) {}

  std::vector<ProtectedSpan> find() {
    bool after_empty = true;
    for (at_ = 0; at_ < text_.size();) {
      if (at_ == 0 || text_[at_ - 1] == '\n') {
        const size_t end = line_end(at_);
        const bool empty = text_.substr(at_, end - at_).find_first_not_of(" \t\r") == text_.npos;
        if (line(end, after_empty || in_indented_)) {
          after_empty = false;
          continue;
        }
        after_empty = empty;
        in_indented_ = in_indented_ && empty;
      }
      if (!element()) ++at_;
    }
    return std::move(spans_);
  }

 private:
  [[nodiscard]] size_t line_end(size_t from) const { return std::min(text_.find('\n', from), text_.size()); }
  [[nodiscard]] bool at(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  [[nodiscard]] bool at_word_start() const { return at_ == 0 || (!letter(text_[at_ - 1]) && !digit(text_[at_ - 1])); }

  bool protect(size_t end, Protection why) {
    end = std::min(end, text_.size());
    if (end <= at_) return false;
    if (!spans_.empty() && spans_.back().end == at_ && spans_.back().why == why) {
      spans_.back().end = end;
    } else {
      spans_.push_back({at_, end, why});
    }
    at_ = end;
    return true;
  }

  // What is protected by its line: fences, indented code, quotations.
  bool line(size_t end, bool may_be_indented) {
    const size_t first = text_.find_first_not_of(' ', at_);
    const std::string_view rest = first == text_.npos ? std::string_view() : text_.substr(first);
    for (const std::string_view fence : {"```", "~~~"}) {
      if (!rest.starts_with(fence)) continue;
      // A closing fence may be indented.
      for (size_t n = end; n < text_.size(); n = line_end(n + 1)) {
        const size_t word = text_.find_first_not_of(" \t", n + 1);
        if (word != text_.npos && text_.substr(word).starts_with(fence))
          return protect(line_end(word), Protection::code);
      }
      return protect(text_.size(), Protection::code);
    }
    if (rest.starts_with(">")) return protect(end, Protection::quote);
    if (may_be_indented && (text_.substr(at_).starts_with("    ") || text_[at_] == '\t') &&
        text_.substr(at_, end - at_).find_first_not_of(" \t\r") != text_.npos) {
      in_indented_ = true;
      return protect(end, Protection::code);
    }
    return false;
  }

  bool element() {
    const char c = text_[at_];
    if (c == '`') {
      const size_t close = text_.find('`', at_ + 1);
      return close != text_.npos && close < line_end(at_) && protect(close + 1, Protection::code);
    }
    if (c == '{' || c == '[') return json();
    if (c == '"') return quoted("\"", "\"");
    if (at("\xe2\x80\x9c")) return quoted("\xe2\x80\x9c", "\xe2\x80\x9d");
    if (at("\xc2\xab")) return quoted("\xc2\xab", "\xc2\xbb");
    if (c == '\'' && at_word_start()) return quoted("'", "'");
    if (!space(c) && (at_ == 0 || space(text_[at_ - 1]) || text_[at_ - 1] == '(')) {
      if (word()) return true;
    }
    if (digit(c) && at_word_start()) return number();
    return false;
  }

  // To the closing mark in the same paragraph.
  bool quoted(std::string_view open, std::string_view close) {
    const size_t from = at_ + open.size();
    size_t end = text_.find(close, from);
    while (close == "'" && end != text_.npos && end + 1 < text_.size() && letter(text_[end + 1])) {
      end = text_.find(close, end + 1);  // an apostrophe
    }
    const size_t paragraph = text_.find("\n\n", from);
    if (end == text_.npos || end > paragraph) {
      if (close == "'") return false;
      end = std::min(line_end(from), text_.size());
      return protect(end, Protection::quote);
    }
    return protect(end + close.size(), Protection::quote);
  }

  bool json() {
    std::string open;
    bool in_string = false, telling = false;
    for (size_t i = at_; i < text_.size(); ++i) {
      const char c = text_[i];
      if (in_string) {
        if (c == '\\') ++i;
        if (c == '"') in_string = false;
      } else if (c == '"') {
        in_string = telling = true;
      } else if (c == '{' || c == '[') {
        open += c == '{' ? '}' : ']';
      } else if (c == '}' || c == ']') {
        if (open.empty() || open.back() != c) break;
        open.pop_back();
        if (open.empty()) return telling ? protect(i + 1, Protection::json) : false;
      } else if (c == ':' || c == ',') {
        telling = true;
      }
    }
    return telling && protect(line_end(at_), Protection::json);
  }

  // A whole word that is a URL, a path, an identifier, a number or a negation.
  bool word() {
    size_t end = at_;
    while (end < text_.size() && !space(text_[end])) ++end;
    std::string_view w = text_.substr(at_, end - at_);
    while (!w.empty() && std::string_view(".,;:!?)\"'").find(w.back()) != std::string_view::npos &&
           !(w.back() == ')' && w.find('(') != w.npos)) {
      w.remove_suffix(1);
    }
    if (w.empty()) return false;
    const size_t stop = at_ + w.size();
    const size_t scheme = w.find("://");
    if ((scheme != w.npos && scheme > 0) || w.starts_with("www.") || address(w) || path(w))
      return protect(stop, Protection::url);
    if (w.find('_') != w.npos || w.find("::") != w.npos || w.find('(') != w.npos || w.find('=') != w.npos ||
        w.find("->") != w.npos || w.front() == '$' || w.front() == '-' || w.front() == '#' || w.front() == '\\') {
      // "- item" is a list, "--flag" and "-5" are not.
      if (w != "-" && w != "#" && w.find_first_not_of("-#") != w.npos) {
        return w.size() > 1 && digit(w[1]) ? number_word(stop) : protect(stop, Protection::code);
      }
      return false;
    }
    if (std::any_of(w.begin(), w.end(), digit)) return number_word(stop);
    std::string low;
    for (const char c : w) low += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    if (low.ends_with("n't") || std::find(kNegations.begin(), kNegations.end(), low) != kNegations.end()) {
      return protect(stop, Protection::negation);
    }
    return false;
  }

  static bool address(std::string_view w) {
    const size_t sign = w.find('@');
    return sign != w.npos && sign > 0 && w.find('.', sign) != w.npos;
  }
  static bool path(std::string_view w) {
    if (w.size() > 1 && (w.front() == '/' || w.starts_with("./") || w.starts_with("~/"))) return true;
    if (std::count(w.begin(), w.end(), '/') >= 2) return true;
    const size_t dot = w.rfind('.');  // file.ext, host.example
    return dot != w.npos && dot > 0 && dot + 1 < w.size() && w.size() - dot <= 6 && letter(w[dot + 1]);
  }

  bool number() {
    size_t end = at_;
    while (end < text_.size() && !space(text_[end])) ++end;
    return number_word(end);
  }
  // With the unit that follows: one short word.
  bool number_word(size_t stop) {
    if (stop < text_.size() && text_[stop] == ' ') {
      size_t end = stop + 1;
      while (end < text_.size() && (letter(text_[end]) || text_[end] == '%')) ++end;
      const size_t length = end - stop - 1;
      if (length > 0 && length <= 4) stop = end;
    }
    return protect(stop, Protection::number);
  }

  std::string_view text_;
  size_t at_ = 0;
  bool in_indented_ = false;
  std::vector<ProtectedSpan> spans_;
};

}  // namespace

const char* to_string(Protection protection) {
  constexpr std::array names = {"code", "json", "quote", "url", "number", "negation"};
  return names.at(static_cast<size_t>(protection));
}

std::vector<ProtectedSpan> protected_spans(std::string_view text) { return Finder(text).find(); }

}  // namespace skep::language
