#pragma once
// KeyValue in the state store. An expired entry is invisible at once, and removed by sweep(), which whoever owns this
// calls now and then.
//
//   space "kv"      namespace length (1 byte), namespace, key → expiry (ms since 1970, 0: none), kind, value or list
//   space "kv-due"  expiry (8 bytes, sortable), key of "kv"   → empty
//
// A list is one value: lists are bounded, and their items are few and small.

#include "store/key_value.h"
#include "store/store.h"

namespace skep::store {

class LmdbKeyValue final : public KeyValue {
 public:
  LmdbKeyValue(Store& store, const Clock& clock) : store_(store), clock_(clock) {}

  Result<std::optional<std::string>> get(std::string_view space, std::string_view key) override;
  Status put(std::string_view space, std::string_view key, std::string_view value,
             std::optional<Duration> ttl = {}) override;
  Result<bool> erase(std::string_view space, std::string_view key) override;
  Result<std::optional<Duration>> ttl(std::string_view space, std::string_view key) override;
  Result<int64_t> add(std::string_view space, std::string_view key, int64_t by,
                      std::optional<Duration> ttl = {}) override;
  Result<size_t> push(std::string_view space, std::string_view key, std::string_view item, size_t most,
                      std::optional<Duration> ttl = {}) override;
  Result<std::vector<std::string>> items(std::string_view space, std::string_view key, size_t first = 0,
                                         size_t count = 1000) override;
  Result<std::vector<std::string>> keys(std::string_view space, std::string_view prefix = {},
                                        std::string_view after = {}, size_t limit = 1000) override;
  Result<size_t> clear(std::string_view space) override;

  // Removes up to `limit` expired entries; gives how many it removed.
  Result<size_t> sweep(size_t limit = 1000);

 private:
  Store& store_;
  const Clock& clock_;
};

}  // namespace skep::store
