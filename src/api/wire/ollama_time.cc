#include "api/wire/ollama_time.h"

#include <fmt/chrono.h>

#include <boost/json.hpp>
#include <charconv>
#include <cmath>

#include "api/backend.h"

namespace skep::api::wire {

namespace {

// Go's format: a sign, then numbers with units. unset: it is none.
std::optional<double> go_duration_seconds(std::string_view text) {
  bool negative = !text.empty() && text.front() == '-';
  if (negative || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    double number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || !(number >= 0) || std::isinf(number)) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    size_t unit_length = std::min(text.find_first_of("0123456789."), text.size());
    std::string_view unit = text.substr(0, unit_length);
    text.remove_prefix(unit_length);
    if (unit == "h") {
      total += number * 3600;
    } else if (unit == "m") {
      total += number * 60;
    } else if (unit == "s" || (unit.empty() && text.empty())) {  // Ollama takes "300" too
      total += number;
    } else if (unit == "ms") {
      total += number / 1e3;
    } else if (unit == "us" || unit == "µs") {
      total += number / 1e6;
    } else if (unit == "ns") {
      total += number / 1e9;
    } else {
      return std::nullopt;
    }
  }
  return negative ? -total : total;
}

}  // namespace

std::string rfc3339(WallTime time) {
  auto since = time.time_since_epoch();
  auto whole = std::chrono::floor<std::chrono::seconds>(since);
  auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(since - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09d}Z", fmt::gmtime(static_cast<std::time_t>(whole.count())), nanoseconds);
}

std::optional<Duration> read_keep_alive(Fields& body) {
  const auto* value = body.find("keep_alive");
  if (value == nullptr) return std::nullopt;
  std::optional<double> seconds;
  if (value->is_number()) seconds = value->to_number<double>();
  if (const auto* text = value->if_string()) seconds = go_duration_seconds({text->data(), text->size()});
  if (!seconds) {
    body.bad("keep_alive", "must be a number of seconds or a duration like 5m");
    return std::nullopt;
  }
  double most = std::chrono::duration<double>(kKeepForever).count();
  if (*seconds < 0 || *seconds > most) return kKeepForever;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*seconds));
}

}  // namespace skep::api::wire
