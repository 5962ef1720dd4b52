#include "store/redis_key_value.h"

#include <algorithm>

namespace skep::store {
namespace {

// Before each write: what has expired leaves the indexes, some at a time. The last arguments are the time, in
// milliseconds, and how values' names begin. Whether a key lives is for the server to say: clocks may differ.
constexpr const char* kTidy = R"(
local now, begin = tonumber(ARGV[#ARGV - 1]), ARGV[#ARGV]
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 8)) do
  local left = redis.call('PTTL', begin .. key)
  if left == -2 then redis.call('ZREM', KEYS[2], key) end
  if left < 0 then redis.call('ZREM', KEYS[3], key) else redis.call('ZADD', KEYS[3], now + left, key) end
end
local function index(ttl)
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
  if ttl == '0' then redis.call('ZREM', KEYS[3], ARGV[1]) else redis.call('ZADD', KEYS[3], now + ttl, ARGV[1]) end
end
)";
constexpr const char* kPut = R"(
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
index(ARGV[3])
return 1)";
constexpr const char* kErase = R"(
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('DEL', KEYS[1]))";
// A counter's life begins with its first count.
constexpr const char* kAdd = R"(
local new = redis.call('EXISTS', KEYS[1]) == 0
local sum = redis.call('INCRBY', KEYS[1], ARGV[2])
if new and ARGV[3] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
if new then index(ARGV[3]) end
return redis.call('GET', KEYS[1]))";
constexpr const char* kPush = R"(
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[3]), -1)
if ARGV[4] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
index(ARGV[4])
return redis.call('LLEN', KEYS[1]))";
constexpr const char* kForgetIfGone = R"(
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return 1)";

constexpr size_t kPage = 512;

std::string milliseconds(std::optional<Duration> ttl) {
  if (!ttl) return "0";
  return std::to_string(std::max<int64_t>(1, std::chrono::duration_cast<std::chrono::milliseconds>(*ttl).count()));
}

Status check(std::string_view space, std::string_view key) {
  if (space.size() > KeyValue::kLongestName || key.size() > KeyValue::kLongestKey) {
    return fail(ErrorCode::invalid_argument, fmt::format("a namespace has at most {} bytes, a key {}",
                                                         KeyValue::kLongestName, KeyValue::kLongestKey));
  }
  return {};
}

// Redis's own words for what the caller did wrong.
Error error_of(const std::string& text) {
  const bool callers = text.find("WRONGTYPE") != text.npos || text.find("not an integer") != text.npos ||
                       text.find("overflow") != text.npos;
  return {callers ? ErrorCode::invalid_argument : ErrorCode::unavailable, "redis: " + text, {}};
}

}  // namespace

std::string RedisKeyValue::name(std::string_view space, std::string_view key) const {
  return fmt::format("{}:v:{}:{}{}", prefix_, space.size(), space, key);
}
std::string RedisKeyValue::index(std::string_view space) const { return fmt::format("{}:i:{}", prefix_, space); }
std::string RedisKeyValue::expiries(std::string_view space) const { return fmt::format("{}:x:{}", prefix_, space); }

Result<RedisReply> RedisKeyValue::ask(RedisCommand command) {
  SKEP_TRY(std::vector<RedisReply> replies, pool_.run({std::move(command)}));
  if (replies[0].kind == RedisReply::Kind::error) return fail(error_of(replies[0].text));
  return std::move(replies[0]);
}

Result<RedisReply> RedisKeyValue::script(const char* text, std::string_view space, std::string_view key,
                                         std::vector<std::string> more) {
  SKEP_CHECK(check(space, key));
  RedisCommand command = {"EVAL", std::string(kTidy) + text, "3", name(space, key), index(space), expiries(space)};
  command.emplace_back(key);
  command.insert(command.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  command.push_back(std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()));
  command.push_back(name(space, ""));
  return ask(std::move(command));
}

Result<std::optional<std::string>> RedisKeyValue::get(std::string_view space, std::string_view key) {
  SKEP_CHECK(check(space, key));
  SKEP_TRY(RedisReply reply, ask({"GET", name(space, key)}));
  if (reply.kind == RedisReply::Kind::nil) return std::optional<std::string>();
  return std::optional(std::move(reply.text));
}

Status RedisKeyValue::put(std::string_view space, std::string_view key, std::string_view value,
                          std::optional<Duration> ttl) {
  SKEP_CHECK(script(kPut, space, key, {std::string(value), milliseconds(ttl)}));
  return {};
}

Result<bool> RedisKeyValue::erase(std::string_view space, std::string_view key) {
  SKEP_TRY(const RedisReply reply, script(kErase, space, key, {}));
  return reply.integer > 0;
}

Result<std::optional<Duration>> RedisKeyValue::ttl(std::string_view space, std::string_view key) {
  SKEP_CHECK(check(space, key));
  SKEP_TRY(const RedisReply reply, ask({"PTTL", name(space, key)}));
  if (reply.integer == -2) return fail(ErrorCode::not_found, fmt::format("no key {}", key));
  if (reply.integer == -1) return std::optional<Duration>();
  return std::optional<Duration>(std::chrono::milliseconds(reply.integer));
}

Result<int64_t> RedisKeyValue::add(std::string_view space, std::string_view key, int64_t by,
                                   std::optional<Duration> ttl) {
  SKEP_TRY(const RedisReply reply, script(kAdd, space, key, {std::to_string(by), milliseconds(ttl)}));
  // As text: Lua's numbers are doubles and would round it.
  return static_cast<int64_t>(std::strtoll(reply.text.c_str(), nullptr, 10));
}

Result<size_t> RedisKeyValue::push(std::string_view space, std::string_view key, std::string_view item, size_t most,
                                   std::optional<Duration> ttl) {
  SKEP_TRY(const RedisReply reply,
           script(kPush, space, key, {std::string(item), std::to_string(most), milliseconds(ttl)}));
  return static_cast<size_t>(reply.integer);
}

Result<std::vector<std::string>> RedisKeyValue::items(std::string_view space, std::string_view key, size_t first,
                                                      size_t count) {
  SKEP_CHECK(check(space, key));
  std::vector<std::string> all;
  if (count == 0) return all;
  SKEP_TRY(RedisReply reply,
           ask({"LRANGE", name(space, key), std::to_string(first), std::to_string(first + count - 1)}));
  for (RedisReply& item : reply.list) all.push_back(std::move(item.text));
  return all;
}

Result<std::vector<std::string>> RedisKeyValue::keys(std::string_view space, std::string_view prefix,
                                                     std::string_view after, size_t limit) {
  SKEP_CHECK(check(space, after));
  std::vector<std::string> all;
  std::string last(after);
  while (all.size() < limit) {
    const std::string from = last < prefix ? "[" + std::string(prefix) : last.empty() ? "-" : "(" + last;
    SKEP_TRY(const RedisReply page, ask({"ZRANGEBYLEX", index(space), from, "+", "LIMIT", "0", std::to_string(kPage)}));
    std::vector<RedisCommand> there;
    for (const RedisReply& key : page.list) there.push_back({"EXISTS", name(space, key.text)});
    if (there.empty()) break;
    SKEP_TRY(const std::vector<RedisReply> exists, pool_.run(there));
    RedisCommand stale = {"ZREM", index(space)};
    bool beyond = false;
    for (size_t i = 0; i < exists.size() && all.size() < limit; ++i) {
      const std::string& key = page.list[i].text;
      if (!key.starts_with(prefix)) {
        beyond = true;
        break;
      }
      exists[i].integer > 0 ? all.push_back(key) : stale.push_back(key);
    }
    // A key put again in between is put back into the index by its next write at the latest; so the check is repeated
    // there where it can't be outrun.
    if (stale.size() > 2) {
      for (size_t i = 2; i < stale.size(); ++i) {
        SKEP_CHECK(script(kForgetIfGone, space, stale[i], {}));
      }
    }
    if (beyond || page.list.size() < kPage) break;
    last = page.list.back().text;
  }
  return all;
}

Result<size_t> RedisKeyValue::clear(std::string_view space) {
  SKEP_CHECK(check(space, {}));
  size_t cleared = 0;
  for (;;) {
    SKEP_TRY(const RedisReply page, ask({"ZRANGE", index(space), "0", std::to_string(kPage - 1)}));
    if (page.list.empty()) return cleared;
    RedisCommand erase = {"UNLINK"}, forget = {"ZREM", index(space)}, expire = {"ZREM", expiries(space)};
    for (const RedisReply& key : page.list) {
      erase.push_back(name(space, key.text));
      forget.push_back(key.text);
      expire.push_back(key.text);
    }
    SKEP_TRY(const std::vector<RedisReply> done, pool_.run({{"MULTI"}, erase, forget, expire, {"EXEC"}}));
    const RedisReply& exec = done.back();
    if (exec.kind != RedisReply::Kind::list || exec.list.empty()) return fail(error_of(exec.text));
    cleared += static_cast<size_t>(exec.list[0].integer);
  }
}

}  // namespace skep::store
