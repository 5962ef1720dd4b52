#pragma once
// A KeyValue on a server, for a caller that must not wait for it: once a call found the server away or too slow, the
// next ones fail at once for a while. So a server that hangs costs one short wait in each while. The wait itself is the
// server's time limit (RedisOptions::call_timeout). One thread at a time.

#include <memory>
#include <utility>

#include "base/clock.h"
#include "store/key_value.h"

namespace skep::store {

class ImpatientKeyValue final : public KeyValue {
 public:
  ImpatientKeyValue(std::unique_ptr<KeyValue> server, const Clock& clock, Duration pause = std::chrono::seconds(5))
      : server_(std::move(server)), clock_(clock), pause_(pause) {}

  Result<std::optional<std::string>> get(std::string_view space, std::string_view key) override {
    return ask([&] { return server_->get(space, key); });
  }
  Status put(std::string_view space, std::string_view key, std::string_view value,
             std::optional<Duration> ttl) override {
    return ask([&] { return server_->put(space, key, value, ttl); });
  }
  Result<bool> erase(std::string_view space, std::string_view key) override {
    return ask([&] { return server_->erase(space, key); });
  }
  Result<std::optional<Duration>> ttl(std::string_view space, std::string_view key) override {
    return ask([&] { return server_->ttl(space, key); });
  }
  Result<int64_t> add(std::string_view space, std::string_view key, int64_t by, std::optional<Duration> ttl) override {
    return ask([&] { return server_->add(space, key, by, ttl); });
  }
  Result<size_t> push(std::string_view space, std::string_view key, std::string_view item, size_t most,
                      std::optional<Duration> ttl) override {
    return ask([&] { return server_->push(space, key, item, most, ttl); });
  }
  Result<std::vector<std::string>> items(std::string_view space, std::string_view key, size_t first,
                                         size_t count) override {
    return ask([&] { return server_->items(space, key, first, count); });
  }
  Result<std::vector<std::string>> keys(std::string_view space, std::string_view prefix, std::string_view after,
                                        size_t limit) override {
    return ask([&] { return server_->keys(space, prefix, after, limit); });
  }
  Result<size_t> clear(std::string_view space) override {
    return ask([&] { return server_->clear(space); });
  }

 private:
  template <typename Call>
  std::invoke_result_t<Call&> ask(Call call) {
    if (clock_.now() < not_before_) return fail(ErrorCode::unavailable, "the server was away a moment ago");
    auto answer = call();
    if (!answer && answer.error().code == ErrorCode::unavailable) not_before_ = clock_.now() + pause_;
    return answer;
  }

  std::unique_ptr<KeyValue> server_;
  const Clock& clock_;
  Duration pause_;
  TimePoint not_before_{};
};

}  // namespace skep::store
