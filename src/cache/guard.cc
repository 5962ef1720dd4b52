#include "cache/guard.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <vector>

namespace skep::cache {
namespace {

using Feature = std::pair<std::string, std::string>;  // kind, value

struct Features {
  std::vector<Feature> in_order;  // numbers, dates, names, quotes: who and what, where their order counts
  std::vector<Feature> turning;   // words and signs that turn a question round, wherever they stand
};

constexpr std::array kUnits = {
    std::pair{"zero", 0},      std::pair{"one", 1},         std::pair{"two", 2},           std::pair{"three", 3},
    std::pair{"four", 4},      std::pair{"five", 5},        std::pair{"six", 6},           std::pair{"seven", 7},
    std::pair{"eight", 8},     std::pair{"nine", 9},        std::pair{"ten", 10},          std::pair{"eleven", 11},
    std::pair{"twelve", 12},   std::pair{"thirteen", 13},   std::pair{"fourteen", 14},     std::pair{"fifteen", 15},
    std::pair{"sixteen", 16},  std::pair{"seventeen", 17},  std::pair{"eighteen", 18},     std::pair{"nineteen", 19},
    std::pair{"twenty", 20},   std::pair{"thirty", 30},     std::pair{"forty", 40},        std::pair{"fifty", 50},
    std::pair{"sixty", 60},    std::pair{"seventy", 70},    std::pair{"eighty", 80},       std::pair{"ninety", 90},
    std::pair{"hundred", 100}, std::pair{"thousand", 1000}, std::pair{"million", 1000000}, std::pair{"third", 3},
    std::pair{"half", -2},     std::pair{"twice", -3},      std::pair{"double", -3},       std::pair{"dozen", 12}};

// Each of these turns a question round; a word counts by itself, whatever stands around it.
constexpr std::array kTurning = {
    "not",     "no",     "never",   "without",  "none",     "nobody",    "nothing",    "neither",    "nor",
    "cannot",  "except", "unless",  "hardly",   "false",    "true",      "disable",    "enable",     "disabled",
    "enabled", "off",    "on",      "before",   "after",    "above",     "below",      "over",       "under",
    "more",    "less",   "fewer",   "most",     "least",    "max",       "min",        "maximum",    "minimum",
    "highest", "lowest", "largest", "smallest", "increase", "decrease",  "raise",      "lower",      "start",
    "stop",    "open",   "close",   "add",      "remove",   "delete",    "create",     "install",    "uninstall",
    "allow",   "deny",   "refuse",  "accept",   "up",       "down",      "left",       "right",      "first",
    "second",  "last",   "old",     "new",      "hot",      "cold",      "fast",       "slow",       "buy",
    "sell",    "import", "export",  "encrypt",  "decrypt",  "to",        "from",       "in",         "out",
    "yes",     "all",    "any",     "some",     "only",     "best",      "worst",      "win",        "lose",
    "he",      "she",    "his",     "her",      "my",       "your",      "today",      "tomorrow",   "yesterday",
    "now",     "always", "safe",    "unsafe",   "legal",    "illegal",   "possible",   "impossible", "valid",
    "invalid", "lock",   "unlock",  "mean",     "median",   "ascending", "descending", "north",      "south",
    "east",    "west",   "sync",    "async"};

constexpr std::array kCalendar = {
    "january",  "february", "march",  "april",   "may",       "june",     "july",   "august",   "september", "october",
    "november", "december", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",    "jan",
    "feb",      "mar",      "apr",    "jun",     "jul",       "aug",      "sep",    "oct",      "nov",       "dec",
    "mon",      "tue",      "wed",    "thu",     "fri",       "sat",      "sun",    "am",       "pm",        "utc"};

constexpr std::array kMeasures = {"g",   "kg",  "mg",  "t",   "lb",  "lbs", "oz",  "m",   "km",  "cm",  "mm",  "ft",
                                  "mi",  "l",   "ml",  "dl",  "s",   "ms",  "us",  "ns",  "min", "h",   "hr",  "d",
                                  "w",   "kw",  "mw",  "v",   "kv",  "mv",  "ma",  "hz",  "khz", "mhz", "ghz", "c",
                                  "f",   "k",   "b",   "kb",  "mb",  "gb",  "tb",  "kib", "mib", "gib", "tib", "pa",
                                  "kpa", "bar", "psi", "eur", "usd", "gbp", "mph", "kmh", "nm",  "kwh", "wh",  "cal",
                                  "j",   "kj",  "rpm", "ppm", "db",  "px",  "pt",  "x",   "bit", "bps"};

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

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Features read() {
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (quote(c)) continue;
      if (digit(c) || (c == '.' && digit(peek(1)))) {
        number();
      } else if (letter(c)) {
        word();
      } else {
        if (c == '.' || c == '!' || c == '?' || c == ':' || c == '\n') sentence_begins_ = true;
        // Arithmetic and comparison turn a question round as words do.
        if (std::string_view("<>=+*/^%$&|~@#").find(c) != std::string_view::npos) turn("sign", std::string(1, c));
        if (c == '-' && (at_ == 0 || text_[at_ - 1] == ' ') && (digit(peek(1)) || peek(1) == '.')) {
          turn("sign", "-");
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

  // "…", `…`, “…”, and '…' where it does not begin inside a word; to the end where none closes it.
  bool quote(char c) {
    std::string_view open, close;
    if (c == '"' || c == '`') {
      open = close = text_.substr(at_, 1);
    } else if (text_.substr(at_).starts_with("\xe2\x80\x9c")) {
      open = "\xe2\x80\x9c";
      close = "\xe2\x80\x9d";
    } else if (c == '\'' && (at_ == 0 || !letter(text_[at_ - 1]))) {
      open = close = "'";
      if (text_.find('\'', at_ + 1) == text_.npos) return false;
    } else {
      return false;
    }
    size_t end = text_.find(close, at_ + open.size());
    size_t begin = at_ + open.size();
    add("quoted", std::string(text_.substr(begin, end == text_.npos ? text_.npos : end - begin)));
    at_ = end == text_.npos ? text_.size() : end + close.size();
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
    std::string value = lowered(text_.substr(begin, at_ - begin));
    value.erase(std::remove(value.begin(), value.end(), ','), value.end());  // 1,000 and 1000
    add("number", canonical(value));
    if (peek(0) == '%') add("unit", "%");
    if (peek(0) == ' ' && letter(peek(1))) {  // 5 kg, 5 g
      size_t end = at_ + 1;
      while (end < text_.size() && letter(text_[end])) ++end;
      std::string next = lowered(text_.substr(at_ + 1, end - at_ - 1));
      if (in(kMeasures, next)) add("unit", next);
    }
    sentence_begins_ = false;
  }

  // 81.0 and 081 are 81; what is more than digits and one point stays as it is.
  static std::string canonical(const std::string& value) {
    if (value.find_first_not_of("0123456789.") != value.npos) return value;
    if (std::count(value.begin(), value.end(), '.') > 1) return value;
    std::string result = value;
    if (result.find('.') != result.npos) {
      while (result.ends_with('0')) result.pop_back();
      if (result.ends_with('.')) result.pop_back();
    }
    size_t zeros = result.find_first_not_of('0');
    if (zeros == result.npos) return "0";
    result.erase(0, zeros);
    return result.starts_with('.') ? "0" + result : result;
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
    if (low.ends_with("n't") || low == "cant" || low == "dont" || low == "wont" || low == "isnt") {
      turn("negation", "not");
      return;
    }
    if (low.ends_with("'s")) low.resize(low.size() - 2);
    for (const auto& [name, value] : kUnits) {
      if (low == name) {
        add("number", std::to_string(value));
        return;
      }
    }
    if (in(kCalendar, low)) {
      if (low == "may" && !upper(raw.front())) return;  // the verb
      add("date", low.substr(0, 3));
    } else if (low == "not" || low == "cannot") {
      turn("negation", "not");
    } else if (in(kTurning, low)) {
      turn("turning word", low);
    } else if (low.size() > 4 && (low.starts_with("un") || low.starts_with("non") || low.starts_with("dis"))) {
      turn("prefix", low);
    } else if (upper(raw.front()) && low.size() > 1 && (!begins || all_upper(raw))) {
      add("name", low);
    }
  }

  static bool all_upper(std::string_view word) { return std::all_of(word.begin(), word.end(), upper); }

  std::string_view text_;
  size_t at_ = 0;
  bool sentence_begins_ = true;
  Features features_;
};

}  // namespace

GuardVerdict compare_questions(std::string_view asked, std::string_view cached) {
  Features a = Reader(asked).read();
  Features b = Reader(cached).read();
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
