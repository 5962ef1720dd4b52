#include "mind/language/number_range.h"

#include <fmt/format.h>

#include <cassert>
#include <vector>

#include "mind/language/gbnf.h"

namespace skep::language {
namespace {

constexpr int kDigits = 18;

std::string digits(char from, char to) {
  if (from == to) return fmt::format("\"{}\"", from);
  return fmt::format("[{}-{}]", from, to);
}

std::string any_digits(size_t count) {
  return count == 0 ? "" : count == 1 ? " [0-9]" : fmt::format(" [0-9]{{{}}}", count);
}

// Digit strings of equal length from `low` to `high`.
std::vector<std::string> same_length(const std::string& low, const std::string& high) {
  assert(low.size() == high.size() && low <= high);
  const size_t rest = low.size() - 1;
  const std::string nines(rest, '9'), zeros(rest, '0');
  std::vector<std::string> out;
  if (rest == 0) return {digits(low[0], high[0])};
  if (low[0] == high[0]) {
    return {digits(low[0], low[0]) + " " + Gbnf::any_of(same_length(low.substr(1), high.substr(1)))};
  }
  char from = low[0], to = high[0];
  if (low.substr(1) != zeros) {
    out.push_back(digits(from, from) + " " + Gbnf::any_of(same_length(low.substr(1), nines)));
    ++from;
  }
  const bool last_partial = high.substr(1) != nines;
  if (last_partial) --to;
  if (from <= to) out.push_back(digits(from, to) + any_digits(rest));
  if (last_partial) {
    out.push_back(digits(high[0], high[0]) + " " + Gbnf::any_of(same_length(zeros, high.substr(1))));
  }
  return out;
}

// Of magnitude low to high (none: open), without a sign.
std::vector<std::string> magnitudes(uint64_t low, std::optional<uint64_t> high) {
  std::vector<std::string> out;
  std::string from = std::to_string(low);
  const std::string to = high ? std::to_string(*high) : std::string(kDigits, '9');
  while (from.size() < to.size()) {
    for (std::string& part : same_length(from, std::string(from.size(), '9'))) out.push_back(std::move(part));
    from = "1" + std::string(from.size(), '0');
  }
  if (from.size() == to.size()) {
    for (std::string& part : same_length(from, to)) out.push_back(std::move(part));
  }
  return out;
}

uint64_t magnitude(int64_t value) {
  return value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
}

constexpr const char* kFraction = "(\".\" [0-9]{1,16})?";
constexpr const char* kZeroFraction = "(\".\" \"0\"{1,16})?";

// Expressions for |x| from low to high; `whole` appends a fraction to all but the upper end.
std::vector<std::string> side(uint64_t low, std::optional<uint64_t> high, bool fractions) {
  if (!fractions) return magnitudes(low, high);
  std::vector<std::string> out;
  if (!high || *high > low) {
    const auto below = high ? std::optional<uint64_t>(*high - 1) : std::nullopt;
    out.push_back(Gbnf::any_of(magnitudes(low, below)) + " " + kFraction);
  }
  if (high) out.push_back(Gbnf::literal(std::to_string(*high)) + " " + kZeroFraction);
  return out;
}

std::string range(std::optional<int64_t> low, std::optional<int64_t> high, bool fractions) {
  assert(!low || !high || *low <= *high);
  std::vector<std::string> out;
  if (!high || *high >= 0) {
    const uint64_t from = low && *low > 0 ? magnitude(*low) : 0;
    const auto to = high ? std::optional<uint64_t>(magnitude(*high)) : std::nullopt;
    for (std::string& part : side(from, to, fractions)) out.push_back(std::move(part));
  }
  if (!low || *low < 0) {
    // Integers: "-0" is left out.
    const uint64_t from = high && *high < 0 ? magnitude(*high) : (fractions ? 0 : 1);
    const auto to = low ? std::optional<uint64_t>(magnitude(*low)) : std::nullopt;
    out.push_back("\"-\" " + Gbnf::any_of(side(from, to, fractions)));
  }
  return Gbnf::any_of(out);
}

}  // namespace

std::string integer_range(std::optional<int64_t> low, std::optional<int64_t> high) { return range(low, high, false); }
std::string number_range(std::optional<int64_t> low, std::optional<int64_t> high) { return range(low, high, true); }

}  // namespace skep::language
