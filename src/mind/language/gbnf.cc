#include "mind/language/gbnf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

namespace skep::language {
namespace {

std::string escaped(uint32_t c, bool in_class) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    case '"':
      return "\\\"";
    case '[':
    case ']':
      return in_class ? fmt::format("\\{}", static_cast<char>(c)) : std::string(1, static_cast<char>(c));
    case '-':
    case '^':
      if (!in_class) return std::string(1, static_cast<char>(c));
      break;
    default:
      if (c >= 0x20 && c < 0x7F) return std::string(1, static_cast<char>(c));
  }
  if (c <= 0xFF) return fmt::format("\\x{:02X}", c);
  return c <= 0xFFFF ? fmt::format("\\u{:04X}", c) : fmt::format("\\U{:08X}", c);
}

}  // namespace

uint32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t first = byte(at);
  const size_t length = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (length == 1 || at + length > text.size()) return ++at, first;
  uint32_t c = first & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) c = (c << 6U) | (byte(at + i) & 0x3FU);
  at += length;
  return c;
}

std::vector<CharacterSet::Range> CharacterSet::ranges() const {
  std::vector<Range> sorted = ranges_;
  std::sort(sorted.begin(), sorted.end());
  std::vector<Range> merged;
  for (const Range& range : sorted) {
    if (!merged.empty() && range.first <= merged.back().second + 1) {
      merged.back().second = std::max(merged.back().second, range.second);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

CharacterSet CharacterSet::complement() const {
  CharacterSet others;
  uint32_t from = 0;
  for (const auto& [first, last] : ranges()) {
    if (first > from) others.add(from, first - 1);
    from = last + 1;
  }
  if (from <= kLast) others.add(from, kLast);
  return others;
}

CharacterSet CharacterSet::without(const CharacterSet& other) const {
  CharacterSet both = complement();
  both.add(other);
  return both.complement();
}

bool CharacterSet::contains(uint32_t c) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [c](const Range& range) { return range.first <= c && c <= range.second; });
}

std::string Gbnf::literal(std::string_view text) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) out += escaped(next_code_point(text, at), false);
  return out + '"';
}

std::string Gbnf::character_class(const CharacterSet& set) {
  assert(!set.empty());
  std::string out = "[";
  for (const auto& [first, last] : set.ranges()) {
    out += escaped(first, true);
    if (last > first) out += '-' + escaped(last, true);
  }
  return out + ']';
}

std::string Gbnf::any_of(const std::vector<std::string>& expressions) {
  assert(!expressions.empty());
  if (expressions.size() == 1) return expressions.front();
  return fmt::format("({})", fmt::join(expressions, " | "));
}

std::string Gbnf::unique(std::string_view hint) {
  std::string name;
  for (const char c : hint.substr(0, 40)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += plain ? c : '-';
  }
  if (name.empty()) name = "rule";
  // The number of rules is a good first guess, so that many equal hints don't take a search each.
  std::string candidate = name;
  for (size_t n = rules_.size(); candidate == "root" || rules_.contains(candidate); ++n) {
    candidate = fmt::format("{}-{}", name, n);
  }
  return candidate;
}

std::string Gbnf::kept(std::string_view key) const {
  const auto found = kept_.find(key);
  return found == kept_.end() ? std::string() : found->second;
}

std::string Gbnf::reserve(std::string_view hint) {
  std::string name = unique(hint);
  rules_.emplace(name, "");
  order_.push_back(name);
  return name;
}

void Gbnf::define(const std::string& name, const std::string& body) {
  assert(rules_.contains(name));
  rules_[name] = body;
  bytes_ += name.size() + body.size() + 6;
}

std::string Gbnf::rule(std::string_view hint, const std::string& body) {
  const auto found = by_body_.find(body);
  if (found != by_body_.end()) return found->second;
  std::string name = reserve(hint);
  define(name, body);
  by_body_.emplace(body, name);
  return name;
}

// Blocks are shared rules: x{100}, and chains of "a block and the rest, or less than a block", which stay unambiguous.
std::string Gbnf::repeat(const std::string& expression, int min, int max) {
  assert(min >= 0 && (max < 0 || max >= min));
  if (max == 0) return "\"\"";
  if (min == 0 && max == 1) return expression + "?";
  if (min == 1 && max == 1) return expression;
  if (max < 0 && min <= 1) return expression + (min == 0 ? "*" : "+");
  if (min <= kBlock && max <= kBlock) {
    if (max < 0) return fmt::format("{}{{{},}}", expression, min);
    return min == max ? fmt::format("{}{{{}}}", expression, min) : fmt::format("{}{{{},{}}}", expression, min, max);
  }
  const std::string block = rule("block", fmt::format("{}{{{}}}", expression, kBlock));
  std::string out;
  int left = min;
  for (; left > kBlock; left -= kBlock) out += block + ' ';
  if (left > 0) out += fmt::format("{}{{{}}} ", expression, left);
  if (max < 0) return fmt::format("({}{}*)", out, expression);
  int more = max - min;
  std::string rest = fmt::format("{}{{0,{}}}", expression, std::min(more, kBlock - 1));
  if (more >= kBlock) {
    // From the innermost: what is left over after all whole blocks.
    rest = more % kBlock == 0 ? "\"\"" : fmt::format("{}{{0,{}}}", expression, more % kBlock);
    const std::string less = rule("less", fmt::format("{}{{0,{}}}", expression, kBlock - 1));
    for (; more >= kBlock; more -= kBlock) rest = rule("upto", fmt::format("{} {} | {}", block, rest, less));
  }
  return fmt::format("({}{})", out, rest);
}

std::string Gbnf::text(const std::string& root) const {
  std::string out = "root ::= " + root + "\n";
  for (const std::string& name : order_) out += fmt::format("{} ::= {}\n", name, rules_.at(name));
  return out;
}

}  // namespace skep::language
