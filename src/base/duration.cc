#include "base/duration.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace skep {
namespace {

using std::chrono::nanoseconds;

constexpr double kMost = 9.2e18;  // nanoseconds in 64 bits: 292 years

// Longer names first where one begins with another.
constexpr std::array<std::pair<std::string_view, double>, 7> kUnits{
    {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}}};

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  const auto bad = [&] {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no duration", text),
                "write it as 250ms, 30s, 5m or 1h30m");
  };
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  if (rest.empty()) return bad();
  double total = 0;
  bool bare = false;
  while (!rest.empty()) {
    if (bare) return bad();  // "5 6s", "1m30": a number without unit must stand alone
    double value = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value, std::chars_format::fixed);
    if (error != std::errc() || value < 0 || !std::isfinite(value) || rest.front() == '-') return bad();
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    double unit = 1e9;
    if (rest.empty()) {
      if (total > 0) return bad();
      bare = true;
    } else {
      bool found = false;
      for (const auto& [name, nanos] : kUnits) {
        if (!rest.starts_with(name)) continue;
        unit = nanos, found = true;
        rest.remove_prefix(name.size());
        break;
      }
      if (!found) return bad();
    }
    total += value * unit;
    if (total > kMost) return fail(ErrorCode::invalid_argument, fmt::format("'{}' is too long a duration", text));
  }
  return nanoseconds(static_cast<int64_t>(std::llround(negative ? -total : total)));
}

std::string to_string(Duration duration) {
  const double n = static_cast<double>(duration.count());
  if (n < 0) return "-" + to_string(-duration);
  const auto three = [](double value, const char* unit) {
    return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, unit);
  };
  if (n < 1e3) return fmt::format("{} ns", duration.count());
  if (n < 999.5e3) return three(n / 1e3, "µs");
  if (n < 999.5e6) return three(n / 1e6, "ms");
  if (n < 59.95e9) return three(n / 1e9, "s");
  const int64_t s = std::llround(n / 1e9);
  if (s < 3600) return fmt::format("{} m {:02} s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{} h {:02} m", s / 3600, s / 60 % 60);
  return fmt::format("{} d {:02} h", s / 86400, s / 3600 % 24);
}

}  // namespace skep
