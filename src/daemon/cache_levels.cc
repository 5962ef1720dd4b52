#include "daemon/cache_levels.h"

#include <spdlog/spdlog.h>
#include <xxhash.h>

#include <charconv>

#include "daemon/options_from_config.h"
#include "store/key_value_answers.h"
#include "store/postgres_answers.h"
#include "store/redis_key_value.h"
#include "store/sqlite_answers.h"

namespace skep::daemon {
namespace {

// A call to the cache's Redis server; its look-ups are given up sooner.
constexpr Duration kRedisCall = std::chrono::milliseconds(500);
// The namespace of what this daemon knows of databases that others invalidate in.
constexpr const char* kSeen = "cache-seen";

// Where a server is, without its password being told to whoever reads the store. It stands in the store, so that
// another build must come to the same.
std::string place(const std::string& level, const std::string& address) {
  return fmt::format("{}-{:016x}", level, XXH3_64bits(address.data(), address.size()));
}

uint64_t seen_in(store::KeyValue& values, const std::string& key) {
  const auto text = values.get(kSeen, key);
  uint64_t epoch = 0;
  if (text && *text) std::from_chars((*text)->data(), (*text)->data() + (*text)->size(), epoch);
  return epoch;
}

}  // namespace

Result<std::unique_ptr<CacheLevels>> CacheLevels::open(EventLoop& loop, const Config& config, store::KeyValue* values) {
  auto made = std::make_unique<CacheLevels>();
  SKEP_CHECK(made->open_second(loop, config, values));
  if (config.cache.third == "events") SKEP_CHECK(made->open_third(loop, config, values));
  return made;
}

std::vector<cache::Level*> CacheLevels::all() const {
  std::vector<cache::Level*> all;
  for (const auto& level : levels_) all.push_back(level.get());
  return all;
}

Status CacheLevels::open_second(EventLoop& loop, const Config& config, store::KeyValue* values) {
  if (config.cache.disk == Bytes(0)) return {};
  cache::ThreadedLevelOptions options;
  options.name = config.cache.second;
  if (config.cache.second == "redis") {
    SKEP_TRY(store::RedisOptions redis, store::parse_redis_url(config.cache.redis));
    redis.connections = 1;
    redis.connect_timeout = redis.call_timeout = kRedisCall;
    if (values != nullptr) {
      const std::string name = place("redis", config.cache.redis + ' ' + config.cache.prefix);
      options.journal = std::make_shared<cache::OrderJournal>(*values, name);
    }
    server_ = std::make_unique<store::RedisKeyValue>(std::move(redis), config.cache.prefix);
    values = server_.get();
  }
  if (values == nullptr) return {};
  auto table = std::make_unique<store::KeyValueAnswers>(*values, loop.clock(), config.cache.disk);
  levels_.push_back(std::make_unique<cache::ThreadedLevel>(loop, std::move(table), std::move(options)));
  return {};
}

Status CacheLevels::open_third(EventLoop& loop, const Config& config, store::KeyValue* values) {
  cache::ThreadedLevelOptions options;
  options.name = "database";
  std::unique_ptr<store::AnswerTable> table;
  if (config.events.store == "postgresql") {
    store::PostgresAnswersOptions postgres;
    SKEP_TRY(postgres.url, address_from_environment("events.url_env", config.events.url_env));
    postgres.most = config.cache.third_size;
    if (values != nullptr) {
      options.journal = std::make_shared<cache::OrderJournal>(*values, place("postgresql", postgres.url));
    }
    if (values != nullptr && server_ == nullptr && config.cache.disk != Bytes(0)) {
      // The second level has answers of earlier runs: what others invalidated since reaches them.
      const std::string key = place("postgresql", postgres.url);
      options.load_seen = [values, key] { return seen_in(*values, key); };
      options.save_seen = [values, key](uint64_t epoch) {
        const Status saved = values->put(kSeen, key, std::to_string(epoch));
        (void)saved;  // an older one is as good: it is heard again
      };
    }
    table = std::make_unique<store::PostgresAnswers>(std::move(postgres));
  } else {
    if (values == nullptr) return {};  // no folder
    auto opened = store::SqliteAnswers::open(config.state_folder + "/state/events.db", config.cache.third_size);
    if (!opened) {
      spdlog::warn("no third level of the cache: {}", opened.error().text());
      return {};
    }
    table = std::move(*opened);
    options.journal = std::make_shared<cache::OrderJournal>(*values, "sqlite");
  }
  levels_.push_back(std::make_unique<cache::ThreadedLevel>(loop, std::move(table), std::move(options)));
  return {};
}

}  // namespace skep::daemon
