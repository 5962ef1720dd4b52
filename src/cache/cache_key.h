#pragma once
// The key of an exact hit: SHA-256 over everything that decides an answer. Each field goes in with its name and its
// length, so that no two different requests give the same bytes.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace skep::cache {

using CacheKey = std::array<uint8_t, 32>;

inline std::string_view bytes_of(const CacheKey& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}
std::string to_hex(const CacheKey& key);

// A tag as the cache knows it: a long one by its hash, since levels keep tags as keys.
inline constexpr size_t kLongestTag = 128;  // bytes
std::string tag_named(const std::string& text);

struct CacheKeyHash {
  size_t operator()(const CacheKey& key) const {  // it is a hash already
    size_t value = 0;
    for (size_t i = 0; i < sizeof value; ++i) value = value << 8 | key[i];
    return value;
  }
};

class CacheKeyBuilder {
 public:
  CacheKeyBuilder& text(std::string_view name, std::string_view value);
  CacheKeyBuilder& integer(std::string_view name, int64_t value);
  CacheKeyBuilder& real(std::string_view name, float value);  // by its bits
  [[nodiscard]] CacheKey finish() const;

 private:
  std::string bytes_;
};

}  // namespace skep::cache
