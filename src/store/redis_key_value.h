#pragma once
// KeyValue on a Redis server.
//
//   <prefix>:v:<namespace length, decimal>:<namespace><key>   the value, counter or list
//   <prefix>:i:<namespace>                                    its keys, a sorted set, so that keys() has an order
//   <prefix>:x:<namespace>                                    those that expire, by when
//
// Writes are single scripts, so that a value and its places in the indexes are never apart. Each write also takes some
// keys that have expired out of the indexes, more than it adds: they are no larger than what lives, and the last
// bursts.

#include <memory>

#include "store/key_value.h"
#include "store/redis_pool.h"

namespace skep::store {

class RedisKeyValue final : public KeyValue {
 public:
  explicit RedisKeyValue(RedisOptions options, std::string prefix = "skep")
      : pool_(std::move(options)), prefix_(std::move(prefix)) {}

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

  [[nodiscard]] RedisPool& pool() { return pool_; }

 private:
  [[nodiscard]] std::string name(std::string_view space, std::string_view key) const;
  [[nodiscard]] std::string index(std::string_view space) const;
  [[nodiscard]] std::string expiries(std::string_view space) const;
  // One command; its reply unless that is an error.
  Result<RedisReply> ask(RedisCommand command);
  // A script over the value, its index and the expiries: KEYS[1..3]; ARGV[1] is the key.
  Result<RedisReply> script(const char* text, std::string_view space, std::string_view key,
                            std::vector<std::string> more);

  RedisPool pool_;
  std::string prefix_;
};

}  // namespace skep::store
