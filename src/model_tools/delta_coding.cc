#include "model_tools/delta_coding.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <type_traits>

namespace skep::model_tools {
namespace {

static_assert(std::endian::native == std::endian::little);

template <typename T>
T fold(T difference) {  // 0, −1, 1, −2 … → 0, 1, 2, 3 …
  return static_cast<T>((difference << 1) ^ static_cast<T>(-static_cast<T>(difference >> (sizeof(T) * 8 - 1))));
}
template <typename T>
T unfold(T folded) {
  return static_cast<T>((folded >> 1) ^ static_cast<T>(-static_cast<T>(folded & 1)));
}

template <typename T>
T number_at(const uint8_t* bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void subtract_numbers(const uint8_t* now, const uint8_t* before, size_t count, uint8_t* out) {
  for (size_t i = 0; i < count; ++i) {
    const T folded = fold<T>(static_cast<T>(number_at<T>(now, i) - number_at<T>(before, i)));
    for (size_t rank = 0; rank < sizeof(T); ++rank)
      out[(sizeof(T) - 1 - rank) * count + i] = static_cast<uint8_t>(folded >> (8 * rank));
  }
}

template <typename T>
void add_numbers(const uint8_t* difference, const uint8_t* before, size_t count, uint8_t* out) {
  for (size_t i = 0; i < count; ++i) {
    T folded = 0;
    for (size_t rank = 0; rank < sizeof(T); ++rank)
      folded = static_cast<T>(
          folded | static_cast<T>(static_cast<T>(difference[(sizeof(T) - 1 - rank) * count + i]) << (8 * rank)));
    const T value = static_cast<T>(number_at<T>(before, i) + unfold<T>(folded));
    std::memcpy(out + i * sizeof(T), &value, sizeof(T));
  }
}

struct Parts {
  size_t head, numbers, tail;  // head and tail in bytes
};
Parts parts_of(size_t size, int stride, int phase) {
  const auto s = static_cast<size_t>(stride);
  const size_t head = std::min(size, (s - static_cast<size_t>(phase)) % s);
  return {head, (size - head) / s, (size - head) % s};
}

template <typename Bytes, typename Numbers2, typename Numbers4>
void walk(size_t size, int stride, int phase, Bytes bytes, Numbers2 two, Numbers4 four) {
  assert((stride == 1 || stride == 2 || stride == 4) && phase >= 0 && phase < stride);
  const Parts parts = parts_of(size, stride, phase);
  const size_t body = parts.numbers * static_cast<size_t>(stride);
  bytes(size_t{0}, parts.head);
  if (stride == 1) bytes(parts.head, body);
  if (stride == 2) two(parts.head, parts.numbers);
  if (stride == 4) four(parts.head, parts.numbers);
  bytes(parts.head + body, parts.tail);
}

}  // namespace

void subtract(std::span<const uint8_t> now, std::span<const uint8_t> before, int stride, int phase,
              std::span<uint8_t> difference) {
  assert(now.size() == before.size() && now.size() == difference.size());
  walk(
      now.size(), stride, phase,
      [&](size_t at, size_t n) {
        for (size_t i = at; i < at + n; ++i) difference[i] = static_cast<uint8_t>(now[i] - before[i]);
      },
      [&](size_t at, size_t n) { subtract_numbers<uint16_t>(&now[at], &before[at], n, &difference[at]); },
      [&](size_t at, size_t n) { subtract_numbers<uint32_t>(&now[at], &before[at], n, &difference[at]); });
}

void add(std::span<const uint8_t> difference, std::span<const uint8_t> before, int stride, int phase,
         std::span<uint8_t> now) {
  assert(now.size() == before.size() && now.size() == difference.size());
  walk(
      now.size(), stride, phase,
      [&](size_t at, size_t n) {
        for (size_t i = at; i < at + n; ++i) now[i] = static_cast<uint8_t>(difference[i] + before[i]);
      },
      [&](size_t at, size_t n) { add_numbers<uint16_t>(&difference[at], &before[at], n, &now[at]); },
      [&](size_t at, size_t n) { add_numbers<uint32_t>(&difference[at], &before[at], n, &now[at]); });
}

}  // namespace skep::model_tools
