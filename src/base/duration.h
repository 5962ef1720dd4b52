#pragma once
// Durations as people write and read them.

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace skep {

// "250ms", "1.5s", "5m", "1h30m", "2d", "-1s"; a bare number is seconds. Units: ns, us, ms, s, m, h, d.
Result<Duration> parse_duration(std::string_view text);

// "820 ns", "12.3 ms", "4.50 s", "3 m 20 s", "2 h 05 m": for people.
std::string to_string(Duration duration);

}  // namespace skep
