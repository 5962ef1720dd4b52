#include "store/sqlite_answers.h"

#include "store/sqlite_database.h"
#include "store/tag_text.h"

namespace skep::store {
namespace {

constexpr std::chrono::milliseconds kBusy{100};  // what waits is tried again
constexpr int64_t kOverhead = 100;               // bytes of a row beside its texts

// `tags`: each between two line ends, "*" among them. `floor`: the tags' epochs up to it are not known any more, and no
// answer from before it is one.
constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS answers (
  key BLOB PRIMARY KEY, expires INTEGER NOT NULL, bytes INTEGER NOT NULL, stored INTEGER NOT NULL,
  seen INTEGER NOT NULL, tags TEXT NOT NULL, value BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS answers_expires ON answers (expires, bytes);
CREATE TABLE IF NOT EXISTS answer_tags (tag TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answer_tags_epoch ON answer_tags (epoch);
CREATE TABLE IF NOT EXISTS answer_epoch (
  one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, floor INTEGER NOT NULL);
INSERT OR IGNORE INTO answer_epoch VALUES (1, 0, 0);
)";

// The epochs after an answer's own are few: their tags are looked for in its.
constexpr const char* kGet = R"(
SELECT value, tags, stored, expires, seen FROM answers
WHERE key = ? AND expires > ? AND seen >= (SELECT floor FROM answer_epoch)
  AND NOT EXISTS (SELECT 1 FROM answer_tags t
                  WHERE t.epoch > answers.seen AND instr(answers.tags, char(10) || t.tag || char(10)) > 0))";
constexpr const char* kPut = R"(
INSERT OR REPLACE INTO answers (key, expires, bytes, stored, seen, tags, value)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 FROM answer_epoch
WHERE floor <= ?5 AND NOT EXISTS (SELECT 1 FROM answer_tags t
                                  WHERE t.epoch > ?5 AND instr(?6, char(10) || t.tag || char(10)) > 0))";
constexpr const char* kTooMany = R"(
DELETE FROM answers WHERE key IN (
  SELECT key FROM (SELECT key, sum(bytes) OVER (ORDER BY expires DESC, key) AS upto FROM answers) WHERE upto > ?))";

int64_t us(WallTime time) { return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count(); }
WallTime from_us(int64_t us) { return WallTime(std::chrono::microseconds(us)); }

std::string joined(const std::vector<std::string>& tags) {
  std::string text = "\n*\n";
  for (const std::string& tag : tags) text += tag_text(tag) + "\n";
  return text;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> tags;
  text.remove_prefix(std::min<size_t>(text.size(), 3));
  for (size_t end = 0; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1)) {
    tags.push_back(tag_from_text(text.substr(0, end)));
  }
  return tags;
}

}  // namespace

struct SqliteAnswers::Impl {
  Impl(SqliteConnection d, Bytes m) : db(std::move(d)), most(m) {}
  SqliteConnection db;
  Bytes most;

  // A statement without rows.
  template <typename... Values>
  Status change(const char* text, const Values&... values) {
    SqliteStatement statement(db, text);
    if (!statement) return fail(db.error());
    (statement.bind(values), ...);
    if (statement.step() != SQLITE_DONE) return fail(db.error());
    return {};
  }
  Result<int64_t> number(const char* text) {
    SqliteStatement statement(db, text);
    if (!statement || statement.step() != SQLITE_ROW) return fail(db.error());
    return statement.integer(0);
  }
  Status forget_tags();
};

Result<std::unique_ptr<AnswerTable>> SqliteAnswers::open(const std::string& path, Bytes most) {
  SKEP_TRY(SqliteConnection db, SqliteConnection::open(path, kBusy));
  SKEP_CHECK(db.run(kSchema));
  return std::unique_ptr<AnswerTable>(new SqliteAnswers(std::make_unique<Impl>(std::move(db), most)));
}

SqliteAnswers::SqliteAnswers(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteAnswers::~SqliteAnswers() = default;

Result<std::optional<KeptAnswer>> SqliteAnswers::get(std::string_view key, WallTime now) {
  SqliteStatement select(impl_->db, kGet);
  if (!select) return fail(impl_->db.error());
  select.bind_bytes(key).bind(us(now));
  const int code = select.step();
  if (code == SQLITE_DONE) return std::nullopt;
  if (code != SQLITE_ROW) return fail(impl_->db.error());
  KeptAnswer answer;
  answer.key = key;
  answer.value = select.text(0);
  answer.tags = split(select.text(1));
  answer.stored = from_us(select.integer(2));
  answer.expires = from_us(select.integer(3));
  answer.seen = static_cast<uint64_t>(select.integer(4));
  return answer;
}

Status SqliteAnswers::put(std::vector<KeptAnswer> answers) {
  return impl_->db.transaction([&]() -> Status {
    SqliteStatement insert(impl_->db, kPut);
    if (!insert) return fail(impl_->db.error());
    for (const KeptAnswer& answer : answers) {
      const std::string tags = joined(answer.tags);
      const auto bytes = static_cast<int64_t>(answer.value.size() + answer.key.size() + tags.size()) + kOverhead;
      insert.bind_bytes(answer.key).bind(us(answer.expires)).bind(bytes).bind(us(answer.stored));
      insert.bind(static_cast<int64_t>(answer.seen)).bind(tags).bind_bytes(answer.value);
      if (insert.step() != SQLITE_DONE) return fail(impl_->db.error());
      insert.reset();
    }
    return {};
  });
}

Result<uint64_t> SqliteAnswers::invalidate(const std::string& tag) {
  Status noted = impl_->db.transaction([&]() -> Status {
    SKEP_CHECK(impl_->change("UPDATE answer_epoch SET epoch = epoch + 1"));
    return impl_->change("INSERT OR REPLACE INTO answer_tags SELECT ?, epoch FROM answer_epoch", tag_text(tag));
  });
  if (!noted) return fail(noted.error());
  SKEP_TRY(const int64_t epoch, impl_->number("SELECT epoch FROM answer_epoch"));
  return static_cast<uint64_t>(epoch);
}

Status SqliteAnswers::forget(const std::string& tag) {
  SKEP_CHECK(invalidate(tag));
  SKEP_CHECK(impl_->change("DELETE FROM answers WHERE instr(tags, char(10) || ? || char(10)) > 0", tag_text(tag)));
  return impl_->db.run("PRAGMA wal_checkpoint(TRUNCATE)");  // the write-ahead log still has them
}

Result<AnswerTable::News> SqliteAnswers::news(uint64_t since) {
  News news;
  SKEP_TRY(const int64_t epoch, impl_->number("SELECT epoch FROM answer_epoch"));
  SKEP_TRY(const int64_t floor, impl_->number("SELECT floor FROM answer_epoch"));
  news.epoch = static_cast<uint64_t>(epoch);
  if (static_cast<uint64_t>(floor) > since) return News{news.epoch, {kEveryTag}};
  SqliteStatement select(impl_->db, "SELECT tag FROM answer_tags WHERE epoch > ? ORDER BY epoch");
  if (!select) return fail(impl_->db.error());
  select.bind(static_cast<int64_t>(since));
  int code = SQLITE_ROW;
  while ((code = select.step()) == SQLITE_ROW) news.tags.push_back(tag_from_text(select.text(0)));
  if (code != SQLITE_DONE) return fail(impl_->db.error());
  return news;
}

Status SqliteAnswers::Impl::forget_tags() {
  return db.transaction([&]() -> Status {
    SKEP_CHECK(change("UPDATE answer_epoch SET floor = epoch"));
    SKEP_CHECK(change("DELETE FROM answer_tags"));
    return change("DELETE FROM answers");
  });
}

Status SqliteAnswers::keep_house(WallTime now) {
  SKEP_CHECK(impl_->change("DELETE FROM answers WHERE expires <= ?", us(now)));
  SKEP_TRY(const int64_t bytes, impl_->number("SELECT coalesce(sum(bytes), 0) FROM answers"));
  if (bytes > impl_->most.count) SKEP_CHECK(impl_->change(kTooMany, impl_->most.count));
  SKEP_TRY(const int64_t tags, impl_->number("SELECT count(*) FROM answer_tags"));
  if (tags > static_cast<int64_t>(kMostTags)) return impl_->forget_tags();
  return {};
}

}  // namespace skep::store
