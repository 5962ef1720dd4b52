#include "mind/language/pattern.h"

#include <fmt/format.h>

#include <vector>

namespace skep::language {
namespace {

constexpr int kDeepest = 50;
constexpr int kMostRepeats = 1000;
constexpr size_t kLongestPattern = 4096;

// What may not stand in a JSON string as it is.
CharacterSet specials() {
  CharacterSet set;
  set.add(0, 0x1F);
  set.add('"', '"');
  set.add('\\', '\\');
  set.add(0x7F, 0x7F);
  set.add(0xD800, 0xDFFF);
  return set;
}

// The character as it is spelled inside a JSON string.
std::string spelled(uint32_t c) {
  switch (c) {
    case '"':
      return R"("\\\"")";
    case '\\':
      return R"("\\\\")";
    case '\n':
      return R"("\\n")";
    case '\r':
      return R"("\\r")";
    case '\t':
      return R"("\\t")";
    case '\f':
      return R"("\\f")";
    case '\b':
      return R"("\\b")";
    default:
      break;
  }
  if (c < 0x20 || c == 0x7F) return Gbnf::literal(fmt::format("\\u{:04x}", c));
  CharacterSet one;
  one.add(c, c);
  return Gbnf::character_class(one);
}

std::string spelled(const CharacterSet& set, bool escapes) {
  std::vector<std::string> parts;
  const CharacterSet plain = set.without(specials());
  if (!plain.empty()) parts.push_back(Gbnf::character_class(plain));
  if (escapes) {
    for (const char c : {'"', '\\', '\n', '\r', '\t', '\f'}) {
      if (set.contains(static_cast<uint32_t>(c))) parts.push_back(spelled(static_cast<uint32_t>(c)));
    }
  }
  return parts.empty() ? "" : Gbnf::any_of(parts);
}

CharacterSet digit() {
  CharacterSet set;
  set.add('0', '9');
  return set;
}
CharacterSet word() {
  CharacterSet set = digit();
  set.add('a', 'z');
  set.add('A', 'Z');
  set.add('_', '_');
  return set;
}
CharacterSet space() {
  CharacterSet set;
  for (const char c : {' ', '\t', '\n', '\r', '\f'}) set.add(static_cast<uint32_t>(c), static_cast<uint32_t>(c));
  return set;
}

class PatternParser {
 public:
  PatternParser(std::string_view pattern, Gbnf& grammar) : text_(pattern), grammar_(grammar) {}

  Result<std::string> parse() {
    if (text_.size() > kLongestPattern) return unsupported("a pattern of this length");
    // Anchors that bind all alternatives stand at the ends of the whole, or the pattern is one alternative.
    std::vector<std::string> alternatives;
    do {
      SKEP_TRY(std::string body, anchored());
      alternatives.push_back(std::move(body));
    } while (take('|'));
    if (at_ < text_.size()) return unsupported("an unmatched )");
    return Gbnf::any_of(alternatives);
  }

 private:
  struct Escape {
    bool is_set = false;
    uint32_t character = 0;
    CharacterSet set;
  };

  tl::unexpected<Error> unsupported(std::string_view what) const {
    return fail(ErrorCode::invalid_argument, fmt::format("{} at {} of the pattern is not supported", what, at_));
  }
  [[nodiscard]] bool done() const { return at_ >= text_.size(); }
  [[nodiscard]] char peek() const { return text_[at_]; }
  bool take(char c) {
    if (done() || peek() != c) return false;
    ++at_;
    return true;
  }

  // One alternative of the top level: without ^ or $ anything may stand before or after.
  Result<std::string> anchored() {
    const bool begins = take('^');
    SKEP_TRY(std::string body, sequence(0));
    const bool ends = take('$');
    if (!done() && peek() != '|' && peek() != ')') return unsupported("$ in the middle");
    const std::string anything = string_character(grammar_) + "*";
    std::string out;
    if (!begins) out += anything + ' ';
    out += body;
    if (!ends) out += (out.empty() ? "" : " ") + anything;
    return out.empty() ? std::string("\"\"") : out;
  }

  Result<std::string> alternatives(int depth) {
    std::vector<std::string> parts;
    do {
      SKEP_TRY(std::string part, sequence(depth));
      parts.push_back(part.empty() ? "\"\"" : part);
    } while (take('|'));
    return fmt::format("({})", fmt::join(parts, " | "));
  }

  Result<std::string> sequence(int depth) {
    if (depth > kDeepest) return unsupported("nesting this deep");
    std::string out;
    while (!done() && peek() != '|' && peek() != ')' && peek() != '$') {
      SKEP_TRY(std::string part, atom(depth));
      SKEP_TRY(part, quantified(std::move(part)));
      if (!out.empty()) out += ' ';
      out += part;
    }
    return out;
  }

  Result<std::string> atom(int depth) {
    const char c = peek();
    switch (c) {
      case '(':
        return group(depth);
      case '[':
        return bracket();
      case '.':
        ++at_;
        return grammar_.rule("any", spelled(CharacterSet().complement(), false));
      case '^':
        return unsupported("^ in the middle");
      case '*':
      case '+':
      case '?':
        return unsupported("a repetition of nothing");
      case '\\': {
        SKEP_TRY(const Escape escape, this->escape());
        return escape.is_set ? spelled(escape.set, true) : spelled(escape.character);
      }
      default:
        return spelled(next_code_point(text_, at_));
    }
  }

  Result<std::string> group(int depth) {
    take('(');
    if (take('?')) {
      if (take('<')) {
        if (done() || peek() == '=' || peek() == '!') return unsupported("look-behind");
        while (!done() && peek() != '>') ++at_;
        if (!take('>')) return unsupported("an unfinished name");
      } else if (!take(':')) {
        return unsupported("look-ahead or a flag");
      }
    }
    SKEP_TRY(std::string inside, alternatives(depth + 1));
    if (!take(')')) return unsupported(done() ? "an unclosed (" : "$ in the middle");
    return inside;
  }

  Result<std::string> bracket() {
    take('[');
    const bool negated = take('^');
    CharacterSet set;
    bool first = true;
    while (true) {
      if (done()) return unsupported("an unclosed [");
      if (peek() == ']' && !first) break;
      first = false;
      SKEP_TRY(const Escape low, member());
      if (low.is_set) {
        set.add(low.set);
        continue;
      }
      uint32_t high = low.character;
      if (at_ + 1 < text_.size() && peek() == '-' && text_[at_ + 1] != ']') {
        ++at_;
        SKEP_TRY(const Escape upper, member());
        if (upper.is_set || upper.character < low.character) return unsupported("a range that is none");
        high = upper.character;
      }
      set.add(low.character, high);
    }
    take(']');
    const std::string out = spelled(negated ? set.complement() : set, !negated);
    if (out.empty()) return unsupported("a class that matches nothing");
    return out;
  }

  Result<Escape> member() {
    if (peek() == '\\') return escape();
    return Escape{.character = next_code_point(text_, at_)};
  }

  Result<Escape> escape() {
    take('\\');
    if (done()) return unsupported("a \\ at the end");
    const char c = text_[at_++];
    switch (c) {
      case 'd':
        return Escape{.is_set = true, .set = digit()};
      case 'w':
        return Escape{.is_set = true, .set = word()};
      case 's':
        return Escape{.is_set = true, .set = space()};
      case 'D':
        return Escape{.is_set = true, .set = digit().complement().without(specials())};
      case 'W':
        return Escape{.is_set = true, .set = word().complement().without(specials())};
      case 'S':
        return Escape{.is_set = true, .set = space().complement().without(specials())};
      case 'n':
        return Escape{.character = '\n'};
      case 'r':
        return Escape{.character = '\r'};
      case 't':
        return Escape{.character = '\t'};
      case 'f':
        return Escape{.character = '\f'};
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      default:
        break;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter) return unsupported(fmt::format("\\{}", c));
    --at_;
    return Escape{.character = next_code_point(text_, at_)};
  }

  Result<Escape> hex(int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i, ++at_) {
      const char c = done() ? ' ' : peek();
      const bool small = c >= 'a' && c <= 'f', large = c >= 'A' && c <= 'F';
      if (!small && !large && (c < '0' || c > '9')) return unsupported("an unfinished escape");
      value = value * 16 + static_cast<uint32_t>(small ? c - 'a' + 10 : large ? c - 'A' + 10 : c - '0');
    }
    if (value >= 0xD800 && value <= 0xDFFF) return unsupported("half of a surrogate pair");
    return Escape{.character = value};
  }

  Result<std::string> quantified(std::string part) {
    int min = 1, max = 1;
    if (take('*')) {
      min = 0, max = -1;
    } else if (take('+')) {
      max = -1;
    } else if (take('?')) {
      min = 0;
    } else if (!done() && peek() == '{') {
      SKEP_CHECK(counts(min, max));
    } else {
      return part;
    }
    take('?');  // lazy: the same strings
    if (!done() && (peek() == '*' || peek() == '+' || peek() == '{'))
      return unsupported("a repetition of a repetition");
    return grammar_.repeat(part, min, max);
  }

  Status counts(int& min, int& max) {
    take('{');
    const auto number = [this](int& value) {
      const size_t from = at_;
      value = 0;
      while (!done() && peek() >= '0' && peek() <= '9' && value <= kMostRepeats)
        value = value * 10 + (text_[at_++] - '0');
      return at_ > from;
    };
    if (!number(min)) return unsupported("{ without a count");
    max = min;
    if (take(',')) {
      if (!number(max)) max = -1;
    }
    if (!take('}') || min > kMostRepeats || max > kMostRepeats || (max >= 0 && max < min)) {
      return unsupported("this count");
    }
    return {};
  }

  std::string_view text_;
  Gbnf& grammar_;
  size_t at_ = 0;
};

}  // namespace

std::string string_character(Gbnf& grammar) {
  const std::string plain = Gbnf::character_class(CharacterSet().complement().without(specials()));
  const std::string hex = "[0-9a-fA-F]";
  // \u of a surrogate half alone would be no character.
  const std::string unicode = fmt::format(R"("u" ([0-9a-cefA-CEF] {0}{{3}} | [dD] [0-7] {0}{{2}}))", hex);
  return grammar.rule("char", fmt::format(R"({} | "\\" (["\\bfnrt] | {}))", plain, unicode));
}

Result<std::string> pattern_expression(std::string_view pattern, Gbnf& grammar) {
  return PatternParser(pattern, grammar).parse();
}

}  // namespace skep::language
