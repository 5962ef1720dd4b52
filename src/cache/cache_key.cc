#include "cache/cache_key.h"

#include <openssl/sha.h>

#include <bit>

namespace skep::cache {
namespace {

void append(std::string& out, char kind, std::string_view name, std::string_view value) {
  auto length = [&](size_t size) {
    for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(size >> (8 * i)));
  };
  out.push_back(kind);
  length(name.size());
  out += name;
  length(value.size());
  out += value;
}

template <typename T>
std::string_view raw(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace

std::string to_hex(const CacheKey& key) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (uint8_t byte : key) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

CacheKeyBuilder& CacheKeyBuilder::text(std::string_view name, std::string_view value) {
  append(bytes_, 't', name, value);
  return *this;
}
CacheKeyBuilder& CacheKeyBuilder::integer(std::string_view name, int64_t value) {
  append(bytes_, 'i', name, raw(value));
  return *this;
}
CacheKeyBuilder& CacheKeyBuilder::real(std::string_view name, float value) {
  auto bits = std::bit_cast<uint32_t>(value);
  append(bytes_, 'r', name, raw(bits));
  return *this;
}

CacheKey CacheKeyBuilder::finish() const {
  CacheKey key;
  SHA256(reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size(), key.data());
  return key;
}

std::string tag_named(const std::string& text) {
  return text.size() <= kLongestTag ? text : "sha256:" + to_hex(CacheKeyBuilder().text("tag", text).finish());
}

}  // namespace skep::cache
