#include "base/units.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

namespace skep {

std::string to_string(Bytes bytes) {
  static constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes.count);
  size_t unit = 0;
  while (std::abs(value) >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes.count);
  int digits = std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, digits, kUnits[unit]);
}

Result<Bytes> parse_bytes(std::string_view text) {
  auto refuse = [&] {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not a size", text),
                "write it as 4GiB, 800MB or 512k");
  };
  size_t digits = 0;
  while (digits < text.size() && (std::isdigit(static_cast<unsigned char>(text[digits])) || text[digits] == '.'))
    ++digits;
  double value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + digits, value);
  if (digits == 0 || code != std::errc() || end != text.data() + digits) return refuse();
  std::string unit;
  for (char c : text.substr(digits)) {
    if (c != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  static constexpr std::array<std::pair<std::string_view, double>, 15> kUnits = {{
      {"", 1},
      {"b", 1},
      {"k", 1024.0},
      {"kib", 1024.0},
      {"kb", 1e3},
      {"m", 1048576.0},
      {"mib", 1048576.0},
      {"mb", 1e6},
      {"g", 1073741824.0},
      {"gib", 1073741824.0},
      {"gb", 1e9},
      {"t", 1099511627776.0},
      {"tib", 1099511627776.0},
      {"tb", 1e12},
      {"byte", 1},
  }};
  for (auto [name, scale] : kUnits) {
    if (unit != name) continue;
    double bytes = value * scale;
    if (!(bytes <= 9e18)) return refuse();
    return Bytes(static_cast<int64_t>(std::llround(bytes)));
  }
  return refuse();
}

}  // namespace skep
