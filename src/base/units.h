#pragma once
// Bytes as a type of its own, so that no bare integer stands for a size, with parsing ("4GiB") and printing ("3.2
// GiB").

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skep {

struct Bytes {
  int64_t count = 0;  // may be negative as a difference

  constexpr Bytes() = default;
  constexpr explicit Bytes(int64_t n) : count(n) {}
  friend constexpr auto operator<=>(Bytes, Bytes) = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return Bytes(a.count + b.count); }
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return Bytes(a.count - b.count); }
  constexpr Bytes& operator+=(Bytes b) { return count += b.count, *this; }
  constexpr Bytes& operator-=(Bytes b) { return count -= b.count, *this; }
};

constexpr Bytes operator""_B(unsigned long long n) { return Bytes(static_cast<int64_t>(n)); }
constexpr Bytes operator""_KiB(unsigned long long n) { return Bytes(static_cast<int64_t>(n) << 10); }
constexpr Bytes operator""_MiB(unsigned long long n) { return Bytes(static_cast<int64_t>(n) << 20); }
constexpr Bytes operator""_GiB(unsigned long long n) { return Bytes(static_cast<int64_t>(n) << 30); }

// "512 B", "1.5 KiB", "3.20 GiB": three significant digits.
std::string to_string(Bytes bytes);

// "4GiB", "4 GB", "800MB", "512k", "1.5G", "123": KiB/MiB/GiB/TiB and K/M/G/T are binary, kB/MB/GB/TB decimal.
Result<Bytes> parse_bytes(std::string_view text);

}  // namespace skep
