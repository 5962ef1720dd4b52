#pragma once
// Keys with values that may expire, atomic counters and bounded lists, in namespaces: what short-term memory and the
// second level of the cache are made of. lmdb_key_value.h keeps them in the state store; others may keep them on a
// server. key_value_contract.h holds the tests that every one of them must pass.
//
// Threads: any. Calls may wait for a disk or a network: an event loop makes them through EventLoop::blocking().
// Failures: unavailable (disk full, server gone), invalid_argument (a name too long; a counter, list or value where
// another kind of thing stands), corrupt.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace skep::store {

class KeyValue {
 public:
  static constexpr size_t kLongestName = 128;  // bytes of a namespace
  static constexpr size_t kLongestKey = 256;   // bytes; a namespace and a key may hold any

  virtual ~KeyValue() = default;

  // Gone keys and expired ones are the same: nullopt.
  virtual Result<std::optional<std::string>> get(std::string_view space, std::string_view key) = 0;
  // Replaces whatever stands there, its expiry too. Without `ttl` it stays; a ttl is at least a millisecond.
  virtual Status put(std::string_view space, std::string_view key, std::string_view value,
                     std::optional<Duration> ttl = {}) = 0;
  virtual Result<bool> erase(std::string_view space, std::string_view key) = 0;  // was it there?
  // The rest of its life; nullopt: it stays. not_found.
  virtual Result<std::optional<Duration>> ttl(std::string_view space, std::string_view key) = 0;

  // Adds to a counter, atomically, and gives the sum; a new one begins at zero. Its expiry is set when it begins.
  // Counters are values: get() gives their decimal text, and a decimal text can be counted on. Wraps at no end: a sum
  // beyond 64 bits is invalid_argument.
  virtual Result<int64_t> add(std::string_view space, std::string_view key, int64_t by,
                              std::optional<Duration> ttl = {}) = 0;

  // Appends to a list; beyond `most`, the oldest go. Gives its length. Expiry: as put().
  virtual Result<size_t> push(std::string_view space, std::string_view key, std::string_view item, size_t most,
                              std::optional<Duration> ttl = {}) = 0;
  // Up to `count` items from the `first` oldest one on.
  virtual Result<std::vector<std::string>> items(std::string_view space, std::string_view key, size_t first = 0,
                                                 size_t count = 1000) = 0;

  // Keys in order, of all three kinds, greater than `after`.
  virtual Result<std::vector<std::string>> keys(std::string_view space, std::string_view prefix = {},
                                                std::string_view after = {}, size_t limit = 1000) = 0;
  // Everything in the namespace; gives the number of keys.
  virtual Result<size_t> clear(std::string_view space) = 0;
};

}  // namespace skep::store
