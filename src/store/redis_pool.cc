#include "store/redis_pool.h"

#include <hiredis/hiredis.h>
#include <poll.h>

#include <charconv>

namespace skep::store {
namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(50);

timeval to_timeval(Duration d) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(d).count();
  return {us / 1'000'000, us % 1'000'000};
}

// Bounded by what hiredis itself allows (7 levels).
RedisReply take(const redisReply& raw) {
  RedisReply reply;
  switch (raw.type) {
    case REDIS_REPLY_INTEGER:
      reply.kind = RedisReply::Kind::integer;
      reply.integer = raw.integer;
      break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
      reply.kind = RedisReply::Kind::text;
      reply.text.assign(raw.str, static_cast<size_t>(raw.len));
      break;
    case REDIS_REPLY_ERROR:
      reply.kind = RedisReply::Kind::error;
      reply.text.assign(raw.str, static_cast<size_t>(raw.len));
      break;
    case REDIS_REPLY_ARRAY:
      reply.kind = RedisReply::Kind::list;
      for (size_t i = 0; i < raw.elements; ++i) reply.list.push_back(take(*raw.element[i]));
      break;
    default:
      break;
  }
  return reply;
}

// Nothing is to be read from an idle connection but its end.
bool usable(const redisContext& context) {
  pollfd wait{context.fd, POLLIN, 0};
  return ::poll(&wait, 1, 0) == 0;
}

Result<std::vector<RedisReply>> talk(redisContext& context, const std::vector<RedisCommand>& commands) {
  for (const RedisCommand& command : commands) {
    std::vector<const char*> parts;
    std::vector<size_t> lengths;
    for (const std::string& part : command) {
      parts.push_back(part.data());
      lengths.push_back(part.size());
    }
    if (redisAppendCommandArgv(&context, static_cast<int>(parts.size()), parts.data(), lengths.data()) != REDIS_OK) {
      return fail(ErrorCode::unavailable, fmt::format("redis: {}", context.errstr));
    }
  }
  std::vector<RedisReply> replies;
  for (size_t i = 0; i < commands.size(); ++i) {
    void* raw = nullptr;
    if (redisGetReply(&context, &raw) != REDIS_OK || raw == nullptr) {
      return fail(ErrorCode::unavailable, fmt::format("redis: {}", context.errstr), "is the server running?");
    }
    replies.push_back(take(*static_cast<redisReply*>(raw)));
    freeReplyObject(raw);
  }
  return replies;
}

}  // namespace

Result<RedisOptions> parse_redis_url(const std::string& url) {
  const auto bad = [&](const char* why) {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: {}", url, why),
                "redis://[[user]:password@]host[:port][/database] or redis+unix:///path");
  };
  RedisOptions options;
  if (url.starts_with("redis+unix://")) {
    options.socket = url.substr(13);
    if (!options.socket.starts_with('/')) return bad("a socket's path begins with /");
    return options;
  }
  if (!url.starts_with("redis://")) return bad("not the address of a Redis server");
  std::string rest = url.substr(8);
  const auto number = [](std::string_view text, int most) {
    int value = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() && value <= most ? value : -1;
  };
  if (const size_t slash = rest.find('/'); slash != rest.npos) {
    if (slash + 1 < rest.size() &&
        (options.database = number(std::string_view(rest).substr(slash + 1), 1'000'000)) < 0) {
      return bad("its database is no number");
    }
    rest.resize(slash);
  }
  if (const size_t at = rest.rfind('@'); at != rest.npos) {
    const std::string who = rest.substr(0, at);
    const size_t colon = who.find(':');
    if (colon == who.npos) return bad("a password comes after a colon");
    options.user = who.substr(0, colon);
    options.password = who.substr(colon + 1);
    rest.erase(0, at + 1);
  }
  if (const size_t colon = rest.rfind(':'); colon != rest.npos && rest.find(']', colon) == rest.npos) {
    if ((options.port = number(std::string_view(rest).substr(colon + 1), 65535)) <= 0)
      return bad("its port is no number");
    rest.resize(colon);
  }
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  if (rest.empty()) return bad("no host");
  options.host = rest;
  return options;
}

void RedisPool::CloseContext::operator()(redisContext* context) const { redisFree(context); }

RedisPool::RedisPool(RedisOptions options) : options_(std::move(options)) {}
RedisPool::~RedisPool() = default;

int64_t RedisPool::connects() const {
  const std::lock_guard lock(mutex_);
  return connects_;
}

Result<RedisPool::Connection> RedisPool::connect() {
  const timeval patience = to_timeval(options_.connect_timeout);
  Connection connection(options_.socket.empty()
                            ? redisConnectWithTimeout(options_.host.c_str(), options_.port, patience)
                            : redisConnectUnixWithTimeout(options_.socket.c_str(), patience));
  const std::string where =
      options_.socket.empty() ? fmt::format("{}:{}", options_.host, options_.port) : options_.socket;
  if (!connection || connection->err != 0) {
    return fail(ErrorCode::unavailable,
                fmt::format("redis at {}: {}", where, connection ? connection->errstr : "out of memory"),
                "is the server running?");
  }
  redisSetTimeout(connection.get(), to_timeval(options_.call_timeout));
  std::vector<RedisCommand> first;
  if (!options_.password.empty()) {
    first.push_back(options_.user.empty() ? RedisCommand{"AUTH", options_.password}
                                          : RedisCommand{"AUTH", options_.user, options_.password});
  }
  if (options_.database != 0) first.push_back({"SELECT", std::to_string(options_.database)});
  SKEP_TRY(const std::vector<RedisReply> replies, talk(*connection, first));
  for (const RedisReply& reply : replies) {
    if (reply.kind == RedisReply::Kind::error) {
      return fail(ErrorCode::unavailable, fmt::format("redis at {}: {}", where, reply.text));
    }
  }
  return connection;
}

Result<RedisPool::Connection> RedisPool::borrow() {
  {
    std::unique_lock lock(mutex_);
    if (!returned_.wait_for(lock, options_.call_timeout, [&] { return borrowed_ < options_.connections; })) {
      return fail(ErrorCode::unavailable, "redis: all connections are busy");
    }
    ++borrowed_;
    while (!idle_.empty()) {
      Connection connection = std::move(idle_.back());
      idle_.pop_back();
      if (usable(*connection)) return connection;
    }
    if (std::chrono::steady_clock::now() < not_before_) {
      --borrowed_;
      returned_.notify_one();
      return fail(ErrorCode::unavailable, "redis: the server was away a moment ago", "it is tried again soon");
    }
  }
  auto made = connect();
  const std::lock_guard lock(mutex_);
  if (made) {
    pause_ = {};
    ++connects_;
    return made;
  }
  pause_ = std::min(options_.longest_pause, std::max(kFirstPause, pause_ * 2));
  not_before_ = std::chrono::steady_clock::now() + pause_;
  --borrowed_;
  returned_.notify_one();
  return made;
}

void RedisPool::give_back(Connection connection) {
  const std::lock_guard lock(mutex_);
  --borrowed_;
  if (connection) idle_.push_back(std::move(connection));
  returned_.notify_one();
}

Result<std::vector<RedisReply>> RedisPool::run(const std::vector<RedisCommand>& commands) {
  SKEP_TRY(Connection connection, borrow());
  auto replies = talk(*connection, commands);
  // After a failure nobody knows which answer would come next.
  give_back(replies ? std::move(connection) : Connection());
  return replies;
}

}  // namespace skep::store
