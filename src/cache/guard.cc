#include "cache/guard.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

#include "cache/guard_words.h"

namespace skep::cache {
namespace {

using Feature = std::pair<std::string, std::string>;  // kind, value

struct Features {
  std::vector<Feature> in_order;  // numbers, dates, names, quotes: who and what, where their order counts
  std::vector<Feature> turning;   // words and signs that turn a question round, wherever they stand
};

// Bytes beyond ASCII belong to letters: prepared() has made signs of the rest.
bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}
bool digit(char c) { return c >= '0' && c <= '9'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }

std::string lowered(std::string_view text) {
  std::string low(text);
  for (char& c : low) c = upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  return low;
}

template <typename Table>
bool in(const Table& table, std::string_view word) {
  return std::find(table.begin(), table.end(), word) != table.end();
}

// One character of UTF-8 and its length; a byte that begins none is one by itself.
std::pair<uint32_t, size_t> character(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const size_t length = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (length == 1 || text.size() < length) return {first, 1};
  uint32_t point = first & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) point = point << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
  return {point, length};
}

constexpr char kSign = '\x01';  // in prepared text: a sign follows, up to the next space

// Typography as ASCII (’ − “ full width), spaces as one kind, and every sign beyond ASCII (€ ° ≤ ²) marked as one.
std::string prepared(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto [point, length] = character(text);
    const std::string_view bytes = text.substr(0, length);
    text.remove_prefix(length);
    if (point < 0x80) {
      out += point == static_cast<unsigned char>(kSign) ? ' ' : static_cast<char>(point);
    } else if (point == 0x2018 || point == 0x2019 || point == 0x02BC) {
      out += '\'';
    } else if (point == 0x201C || point == 0x201D || point == 0x201E || point == 0xAB || point == 0xBB) {
      out += '"';
    } else if (point == 0x2212 || point == 0x2013) {
      out += '-';
    } else if (point >= 0xFF01 && point <= 0xFF5E) {
      out += static_cast<char>(point - 0xFEE0);
    } else if (point == 0xA0 || (point >= 0x2000 && point <= 0x200F) || point == 0x2026 || point == 0x2014) {
      out += ' ';
    } else if (length > 1 && ((point >= 0xA1 && point <= 0xBF) || point == 0xD7 || point == 0xF7 ||
                              (point >= 0x2010 && point <= 0x2BFF) || point >= 0x1F000)) {
      out += kSign;
      out += bytes;
      out += ' ';
    } else {
      out += bytes;
    }
  }
  return out;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Features read() {
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (quote(c)) continue;
      if (c == kSign) {
        const size_t end = std::min(text_.find(' ', at_), text_.size());
        add("sign", std::string(text_.substr(at_ + 1, end - at_ - 1)));
        at_ = end;
      } else if (digit(c) || (c == '.' && digit(peek(1)))) {
        number();
      } else if (letter(c)) {
        word();
      } else {
        if (c == '.' || c == '!' || c == '?' || c == ':' || c == '\n') sentence_begins_ = true;
        // Arithmetic and comparison turn a question round as words do, and here their order counts.
        const bool factorial =
            c == '!' && at_ > 0 && (digit(text_[at_ - 1]) || text_[at_ - 1] == ')' || peek(1) == '=');
        if (factorial || std::string_view("<>=+-*/^%$&|~@#()[]{}\\").find(c) != std::string_view::npos) {
          add("sign", std::string(1, c));
        }
        ++at_;
      }
    }
    return std::move(features_);
  }

 private:
  [[nodiscard]] char peek(size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void add(std::string kind, std::string value) { features_.in_order.emplace_back(std::move(kind), std::move(value)); }
  void turn(std::string kind, std::string value) { features_.turning.emplace_back(std::move(kind), std::move(value)); }

  // "…", `…`, and '…' where neither end is inside a word; to the end where none closes it.
  bool quote(char c) {
    if (c != '"' && c != '`' && !(c == '\'' && (at_ == 0 || !letter(text_[at_ - 1])))) return false;
    size_t end = text_.find(c, at_ + 1);
    while (c == '\'' && end != text_.npos && end + 1 < text_.size() && letter(text_[end + 1])) {
      end = text_.find(c, end + 1);
    }
    if (c == '\'' && end == text_.npos) return false;
    add("quoted", std::string(text_.substr(at_ + 1, end == text_.npos ? text_.npos : end - at_ - 1)));
    at_ = end == text_.npos ? text_.size() : end + 1;
    return true;
  }

  // Digits with everything that clings to them: 81, 3.5, 10:30, 2026-11-21, 192.168.0.1, 4th, 12kW.
  void number() {
    size_t begin = at_;
    while (at_ < text_.size()) {
      char c = text_[at_];
      bool inside = digit(c) || letter(c) ||
                    ((c == '.' || c == ',' || c == ':' || c == '-' || c == '/' || c == '_') &&
                     (digit(peek(1)) || (c != '.' && c != ',' && c != ':' && letter(peek(1)))));
      if (!inside) break;
      ++at_;
    }
    add("number", canonical(lowered(text_.substr(begin, at_ - begin))));
    if (peek(0) == '%') add("unit", "%");
    if (peek(0) == ' ' && letter(peek(1))) {  // 5 kg, 5 g
      size_t end = at_ + 1;
      while (end < text_.size() && letter(text_[end])) ++end;
      std::string next = lowered(text_.substr(at_ + 1, end - at_ - 1));
      if (in(kMeasures, next)) add("unit", next);
    }
    sentence_begins_ = false;
  }

  // 81.0 is 81 and 1,000 is 1000; but 3.10 may be a version and 1,5 a decimal: anything else stays as it is.
  static std::string canonical(std::string value) {
    if (value.find_first_not_of("0123456789.,") != value.npos) return value;
    const size_t point = std::min(value.find('.'), value.size());
    std::string whole = value.substr(0, point), fraction = value.substr(point);
    if (fraction.find_first_not_of(".0") == fraction.npos && std::count(fraction.begin(), fraction.end(), '.') <= 1) {
      fraction.clear();
    }
    bool thousands = whole.find(',') != whole.npos;
    for (size_t i = 0; thousands && i < whole.size(); ++i) {
      thousands = (whole[whole.size() - 1 - i] == ',') == (i % 4 == 3);
    }
    if (thousands) whole.erase(std::remove(whole.begin(), whole.end(), ','), whole.end());
    return whole + fraction;
  }

  void word() {
    size_t begin = at_;
    bool identifier = false;
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (letter(c) || c == '\'') {
        ++at_;
      } else if (digit(c) ||
                 ((c == '_' || c == '-' || c == '.' || c == '/' || c == '@') && (letter(peek(1)) || digit(peek(1))))) {
        identifier = identifier || c != '-' || digit(peek(1));
        ++at_;
      } else {
        break;
      }
    }
    std::string_view raw = text_.substr(begin, at_ - begin);
    std::string low = lowered(raw);
    bool begins = std::exchange(sentence_begins_, false);
    if (identifier) {
      add("identifier", low);
      return;
    }
    if (low.find('-') != low.npos) {  // twenty-one, well-known: each part
      for (size_t from = 0; from <= low.size();) {
        size_t to = std::min(low.find('-', from), low.size());
        single(low.substr(from, to - from), raw.substr(from, to - from), begins && from == 0);
        from = to + 1;
      }
      return;
    }
    single(low, raw, begins);
  }

  void single(std::string low, std::string_view raw, bool begins) {
    if (low.ends_with("n't") || in(kNegations, low)) {
      turn("negation", "not");
      against_ = "not";
      return;
    }
    if (low.ends_with("'s")) low.resize(low.size() - 2);
    if (const size_t quote = low.find('\''); quote != low.npos) low.resize(quote);  // you're, I'd
    if (low.empty()) return;
    if (!against_.empty() && !in(kLittle, low)) {
      turn("what stands against it", against_ + " " + low);
      against_.clear();
    }
    if (in(kSetsAgainst, low)) against_ = low;
    for (const auto& [name, value] : kNumberWords) {
      if (low == name) {
        add("number", std::to_string(value));
        return;
      }
    }
    const std::string_view singular = low.ends_with('s') ? std::string_view(low).substr(0, low.size() - 1) : low;
    if (in(kCalendar, low)) {
      if (low == "may" && !upper(raw.front())) return;  // the verb
      add("date", low.substr(0, 3));
    } else if (in(kUnitWords, low) || in(kUnitWords, singular)) {
      add("unit", std::string(singular));
    } else if (in(kTurning, low)) {
      turn("turning word", low);
    } else if (low.size() > 4 && std::any_of(kPrefixes.begin(), kPrefixes.end(),
                                             [&](const char* prefix) { return low.starts_with(prefix); })) {
      turn("prefix", low);
    } else if (static_cast<unsigned char>(raw.front()) >= 0x80) {
      add("name", low);  // whether it is capitalised isn't known
    } else if (upper(raw.front()) && low != "i" && low != "a" && (!begins || all_upper(raw) || !in(kBeginnings, low))) {
      add("name", low);
    }
  }

  static bool all_upper(std::string_view word) { return std::all_of(word.begin(), word.end(), upper); }

  std::string_view text_;
  size_t at_ = 0;
  bool sentence_begins_ = true;
  std::string against_;  // the negation or comparison whose object is the next word
  Features features_;
};

}  // namespace

GuardVerdict compare_questions(std::string_view asked, std::string_view cached) {
  const std::string one = prepared(asked), other = prepared(cached);
  Features a = Reader(one).read();
  Features b = Reader(other).read();
  // The same things in another order are another question, too: "from Rome to Paris", "10 before 20".
  if (a.in_order != b.in_order) {
    auto [left, right] = std::mismatch(a.in_order.begin(), a.in_order.end(), b.in_order.begin(), b.in_order.end());
    const Feature& at = left != a.in_order.end() ? *left : *right;
    return {false, at.first + ": " + at.second};
  }
  std::sort(a.turning.begin(), a.turning.end());
  std::sort(b.turning.begin(), b.turning.end());
  std::vector<Feature> differences;
  std::set_symmetric_difference(a.turning.begin(), a.turning.end(), b.turning.begin(), b.turning.end(),
                                std::back_inserter(differences));
  if (!differences.empty()) return {false, differences.front().first + ": " + differences.front().second};
  return {};
}

}  // namespace skep::cache
