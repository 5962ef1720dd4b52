#pragma once
// How stored things are written as bytes: little-endian integers, varints (LEB128), and texts with their length before
// them. A Decoder never reads beyond its input: after the first thing that is not there it answers zeros and empty
// texts, and ok() is false.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace skep::store {

class Encoder {
 public:
  template <typename T>
  Encoder& fixed(T value) {
    static_assert(std::is_unsigned_v<T>);
    for (size_t i = 0; i < sizeof(T); ++i) out_.push_back(static_cast<char>(value >> (8 * i)));
    return *this;
  }
  Encoder& varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
    return *this;
  }
  // Small magnitudes of either sign stay short (zigzag).
  Encoder& integer(int64_t value) {
    return varint((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
  }
  Encoder& text(std::string_view text) {
    varint(text.size());
    out_ += text;
    return *this;
  }
  [[nodiscard]] size_t size() const { return out_.size(); }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T fixed() {
    static_assert(std::is_unsigned_v<T>);
    T value = 0;
    if (!has(sizeof(T))) return value;
    for (size_t i = 0; i < sizeof(T); ++i) {
      value = static_cast<T>(value | static_cast<T>(static_cast<T>(static_cast<uint8_t>(rest_[i])) << (8 * i)));
    }
    rest_.remove_prefix(sizeof(T));
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (!has(1)) return 0;
      auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;  // more than 64 bits
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    ok_ = false;
    return 0;
  }
  int64_t integer() {
    uint64_t value = varint();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }
  std::string_view text() {
    uint64_t size = varint();
    if (!has(size)) return {};
    std::string_view text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return text;
  }

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }
  [[nodiscard]] size_t left() const { return ok_ ? rest_.size() : 0; }

 private:
  bool has(uint64_t bytes) {
    if (ok_ && bytes <= rest_.size()) return true;
    ok_ = false;
    return false;
  }

  std::string_view rest_;
  bool ok_ = true;
};

// A number as a key's part, so that keys sort as the numbers do: big-endian.
inline std::string sortable(uint64_t number) {
  std::string out(8, '\0');
  for (size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(number >> (56 - 8 * i));
  return out;
}
inline uint64_t from_sortable(std::string_view bytes) {
  uint64_t number = 0;
  for (char byte : bytes.substr(0, 8)) number = number << 8 | static_cast<uint8_t>(byte);
  return number;
}

}  // namespace skep::store
