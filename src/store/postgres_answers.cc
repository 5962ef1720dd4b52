#include "store/postgres_answers.h"

#include <algorithm>
#include <charconv>

#include "store/postgres_connection.h"
#include "store/tag_text.h"

namespace skep::store {
namespace {

constexpr int64_t kOverhead = 100;  // bytes of a row beside its texts

// `tags` has "*" among them. `floor`: the tags' epochs up to it are not known any more, and no answer from before it is
// one.
constexpr const char* kAnswers = R"(CREATE TABLE IF NOT EXISTS answers (
  key bytea PRIMARY KEY, expires bigint NOT NULL, bytes bigint NOT NULL, stored bigint NOT NULL, seen bigint NOT NULL,
  tags text[] NOT NULL, value bytea NOT NULL))";
constexpr const char* kExpiryIndex = "CREATE INDEX IF NOT EXISTS answers_expires ON answers (expires)";
constexpr const char* kTags = "CREATE TABLE IF NOT EXISTS answer_tags (tag text PRIMARY KEY, epoch bigint NOT NULL)";
constexpr const char* kTagsIndex = "CREATE INDEX IF NOT EXISTS answer_tags_epoch ON answer_tags (epoch)";
constexpr const char* kEpoch = R"(CREATE TABLE IF NOT EXISTS answer_epoch (
  one bigint PRIMARY KEY CHECK (one = 1), epoch bigint NOT NULL, floor bigint NOT NULL))";
constexpr const char* kFirstEpoch = "INSERT INTO answer_epoch VALUES (1, 0, 0) ON CONFLICT DO NOTHING";

constexpr const char* kGet = R"(
SELECT a.value, a.tags, a.stored, a.expires, a.seen FROM answers a, answer_epoch e
WHERE a.key = $1::bytea AND a.expires > $2::bigint AND a.seen >= e.floor
  AND NOT EXISTS (SELECT 1 FROM answer_tags t WHERE t.tag = ANY (a.tags) AND t.epoch > a.seen))";
// Whoever invalidates waits until this transaction is over, and the other way round.
constexpr const char* kShare = "SELECT 1 FROM answer_epoch FOR SHARE";
constexpr const char* kPut = R"(
INSERT INTO answers (key, expires, bytes, stored, seen, tags, value)
SELECT $1::bytea, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::text[], $7::bytea FROM answer_epoch
WHERE floor <= $5::bigint
  AND NOT EXISTS (SELECT 1 FROM answer_tags t WHERE t.tag = ANY ($6::text[]) AND t.epoch > $5::bigint)
ON CONFLICT (key) DO UPDATE SET expires = EXCLUDED.expires, bytes = EXCLUDED.bytes, stored = EXCLUDED.stored,
  seen = EXCLUDED.seen, tags = EXCLUDED.tags, value = EXCLUDED.value)";
constexpr const char* kInvalidate = R"(
WITH next AS (UPDATE answer_epoch SET epoch = epoch + 1 RETURNING epoch)
INSERT INTO answer_tags SELECT $1, epoch FROM next
ON CONFLICT (tag) DO UPDATE SET epoch = EXCLUDED.epoch RETURNING epoch)";
constexpr const char* kNews = R"(
SELECT e.epoch, e.floor, t.tag FROM answer_epoch e LEFT JOIN answer_tags t ON t.epoch > $1::bigint ORDER BY t.epoch)";
constexpr const char* kTooMany = R"(
DELETE FROM answers WHERE key IN (
  SELECT key FROM (SELECT key, sum(bytes) OVER (ORDER BY expires DESC, key) AS upto FROM answers) AS s
  WHERE upto > $1::bigint))";

int64_t us(WallTime time) { return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count(); }
WallTime from_us(int64_t us) { return WallTime(std::chrono::microseconds(us)); }

// bytea in its hex form.
std::string bytea(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "\\x";
  text.reserve(2 + 2 * bytes.size());
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

Result<std::string> from_bytea(std::string_view text) {
  const auto bad = [] { return fail(ErrorCode::corrupt, "postgresql: bytes in another form than hex"); };
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return bad();
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (const char* at = text.data() + 2; at != text.data() + text.size(); at += 2) {
    unsigned byte = 0;
    if (std::from_chars(at, at + 2, byte, 16).ptr != at + 2) return bad();
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

PgStatement statement(const char* sql, std::vector<std::string> values) {
  PgStatement made{sql, {}};
  for (std::string& value : values) made.parameters.emplace_back(std::move(value));
  return made;
}

PgStatement put_statement(const KeptAnswer& answer) {
  std::vector<std::string> tags = {kEveryTag};
  for (const std::string& tag : answer.tags) tags.push_back(tag_text(tag));
  const std::string array = pg_array(tags);
  const int64_t bytes = static_cast<int64_t>(answer.value.size() + answer.key.size() + array.size()) + kOverhead;
  return statement(kPut, {bytea(answer.key), std::to_string(us(answer.expires)), std::to_string(bytes),
                          std::to_string(us(answer.stored)), std::to_string(answer.seen), array, bytea(answer.value)});
}

}  // namespace

struct PostgresAnswers::Impl {
  explicit Impl(PostgresAnswersOptions o) : options(std::move(o)), db(options.url, {options.limit, {}}) {}
  PostgresAnswersOptions options;
  PgConnection db;
  bool ready = false;  // the tables are there

  // The tables, made by whoever comes first. After any failure they are looked at again.
  template <typename Call>
  std::invoke_result_t<Call&> with_tables(Call call) {
    if (!ready) {
      auto made = db.run_together(
          {{kAnswers, {}}, {kExpiryIndex, {}}, {kTags, {}}, {kTagsIndex, {}}, {kEpoch, {}}, {kFirstEpoch, {}}});
      // Two daemons at once: the one that comes second finds them there the next time.
      if (!made && made.error().code == ErrorCode::conflict) made.error().code = ErrorCode::unavailable;
      if (!made) return fail(made.error());
      ready = true;
    }
    auto answer = call();
    if (!answer) ready = false;
    return answer;
  }
};

PostgresAnswers::PostgresAnswers(PostgresAnswersOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
PostgresAnswers::~PostgresAnswers() = default;

Result<std::optional<KeptAnswer>> PostgresAnswers::get(std::string_view key, WallTime now) {
  return impl_->with_tables([&]() -> Result<std::optional<KeptAnswer>> {
    SKEP_TRY(const PgRows rows, impl_->db.run(statement(kGet, {bytea(key), std::to_string(us(now))})));
    if (rows.size() == 0) return std::nullopt;
    KeptAnswer answer;
    answer.key = key;
    SKEP_TRY(answer.value, from_bytea(rows.text(0, 0)));
    SKEP_TRY(const auto tags, parse_pg_array(rows.text(0, 1)));
    for (size_t i = 1; i < tags.size(); ++i) answer.tags.push_back(tag_from_text(tags[i]));  // the first one is "*"
    answer.stored = from_us(rows.number(0, 2));
    answer.expires = from_us(rows.number(0, 3));
    answer.seen = static_cast<uint64_t>(rows.number(0, 4));
    return answer;
  });
}

Status PostgresAnswers::put(std::vector<KeptAnswer> answers) {
  // Two daemons that write the same keys take their rows' locks in one order.
  std::stable_sort(answers.begin(), answers.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  std::vector<PgStatement> statements = {{kShare, {}}};
  for (const KeptAnswer& answer : answers) statements.push_back(put_statement(answer));
  return impl_->with_tables([&]() -> Status {
    SKEP_CHECK(impl_->db.run_together(statements));
    return {};
  });
}

Result<uint64_t> PostgresAnswers::invalidate(const std::string& tag) {
  return impl_->with_tables([&]() -> Result<uint64_t> {
    SKEP_TRY(const PgRows rows, impl_->db.run(statement(kInvalidate, {tag_text(tag)})));
    return static_cast<uint64_t>(rows.number(0, 0));
  });
}

// Their rows are dead at once; the server overwrites them when it cleans up (VACUUM).
Status PostgresAnswers::forget(const std::string& tag) {
  SKEP_CHECK(invalidate(tag));
  impl_->db.set_limit(impl_->options.house_limit);
  const auto gone = impl_->db.run(statement("DELETE FROM answers WHERE $1 = ANY (tags)", {tag_text(tag)}));
  impl_->db.set_limit(impl_->options.limit);
  return gone ? Status() : fail(gone.error());
}

Result<AnswerTable::News> PostgresAnswers::news(uint64_t since) {
  return impl_->with_tables([&]() -> Result<News> {
    SKEP_TRY(const PgRows rows, impl_->db.run(statement(kNews, {std::to_string(since)})));
    if (rows.size() == 0) return fail(ErrorCode::internal, "postgresql: answer_epoch is empty");
    News news;
    news.epoch = static_cast<uint64_t>(rows.number(0, 0));
    if (static_cast<uint64_t>(rows.number(0, 1)) > since) return News{news.epoch, {kEveryTag}};
    for (int row = 0; row < rows.size(); ++row) {
      if (!rows.null(row, 2)) news.tags.push_back(tag_from_text(rows.text(row, 2)));
    }
    return news;
  });
}

Status PostgresAnswers::keep_house(WallTime now) {
  const auto house = [&]() -> Status {
    PgConnection& db = impl_->db;
    SKEP_CHECK(db.run(statement("DELETE FROM answers WHERE expires <= $1::bigint", {std::to_string(us(now))})));
    SKEP_TRY(const PgRows bytes, db.run({"SELECT coalesce(sum(bytes), 0)::bigint FROM answers", {}}));
    const int64_t most = impl_->options.most.count;
    if (bytes.number(0, 0) > most) SKEP_CHECK(db.run(statement(kTooMany, {std::to_string(most)})));
    SKEP_TRY(const PgRows tags, db.run({"SELECT count(*) FROM answer_tags", {}}));
    if (tags.number(0, 0) <= static_cast<int64_t>(kMostTags)) return {};
    SKEP_CHECK(db.run_together(
        {{"UPDATE answer_epoch SET floor = epoch", {}}, {"DELETE FROM answer_tags", {}}, {"DELETE FROM answers", {}}}));
    return {};
  };
  impl_->db.set_limit(impl_->options.house_limit);
  Status kept = impl_->with_tables(house);
  impl_->db.set_limit(impl_->options.limit);
  return kept;
}

}  // namespace skep::store
