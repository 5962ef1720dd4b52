#include "memory/text_index.h"

#include <sqlite3.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <utility>

namespace skep::memory {
namespace {

constexpr int kSchema = 1;  // PRAGMA user_version: raised with any change below

// Agents and tags are indexed as words of their own, so that FTS5 filters by them; hashed, so that their letters
// neither match nor get cut.
std::string scope_word(std::string_view kind, std::string_view name) {
  const uint64_t hash = XXH3_64bits_withSeed(name.data(), name.size(), kind.front());
  return fmt::format("{}{:016x}", kind, hash);
}
std::string scope_of(const Fact& fact) {
  std::string scope = scope_word("a", fact.agent);
  for (const std::string& tag : fact.tags) scope += ' ' + scope_word("t", tag);
  return scope;
}

// FTS5's query: columns, then phrases. Words hold letters and digits alone, so a quote can't end them.
std::string match_of(const std::vector<std::string>& words, const Filter& filter) {
  std::string match = "text : (";
  for (size_t i = 0; i < words.size(); ++i) match += (i == 0 ? "\"" : " OR \"") + words[i] + "\"";
  match += ")";
  if (filter.agent) {
    match += " AND scope : (" + scope_word("a", *filter.agent);
    if (filter.with_shared) match += " OR " + scope_word("a", "");
    match += ")";
  }
  for (const std::string& tag : filter.tags) match += " AND scope : " + scope_word("t", tag);
  return match;
}

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

bool is_letter(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  for (size_t i = 0; i <= text.size(); ++i) {
    const auto c = i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
    if (is_letter(c)) {
      word += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  return words;
}

void WordFrequencies::add(std::string_view text, int sign) {
  auto words = words_of(text);
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  for (const std::string& word : words) {
    const uint64_t hash = XXH3_64bits(word.data(), word.size());
    for (uint32_t* cell : {&first_[hash % kColumns], &second_[(hash >> 32U) % kColumns]}) {
      if (sign > 0) ++*cell;
      if (sign < 0 && *cell > 0) --*cell;
    }
  }
  if (sign > 0) ++facts_;
  if (sign < 0 && facts_ > 0) --facts_;
}

uint32_t WordFrequencies::count(std::string_view word) const {
  const uint64_t hash = XXH3_64bits(word.data(), word.size());
  return std::min(first_[hash % kColumns], second_[(hash >> 32U) % kColumns]);
}

std::vector<std::string> WordFrequencies::telling_words(std::string_view text, size_t most) const {
  std::vector<std::pair<uint32_t, std::string>> counted;
  for (std::string& word : words_of(text)) {
    if (const uint32_t n = count(word); n > 0) counted.emplace_back(n, std::move(word));
  }
  std::sort(counted.begin(), counted.end());
  counted.erase(std::unique(counted.begin(), counted.end()), counted.end());
  // BM25 looks at every fact that has any of the words, a microsecond or two each.
  constexpr uint32_t kPostings = 1000;
  uint32_t postings = 0;
  std::vector<std::string> words;
  for (auto& [n, word] : counted) {
    postings += n;
    if (words.size() == most || (postings > kPostings && !words.empty())) break;
    words.push_back(std::move(word));
  }
  return words;
}

struct TextIndex::Impl {
  std::string path;
  Database db;
  Statement insert, erase, find;
  uint64_t applied = 0;

  Error error(std::string_view what) const {
    const int code = sqlite3_errcode(db.get());
    const auto kind = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ErrorCode::corrupt
                      : code == SQLITE_FULL                           ? ErrorCode::overloaded
                                                                      : ErrorCode::io;
    return {kind, fmt::format("full text ({}): {}: {}", path, what, sqlite3_errmsg(db.get())), {}};
  }
  Status run(const char* sql) {
    if (sqlite3_exec(db.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return fail(error(sql));
    return {};
  }
  Result<Statement> prepare(const char* sql) const {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(db.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK) {
      return fail(error(sql));
    }
    return Statement(raw);
  }
  Result<int64_t> number(const char* sql) const {
    SKEP_TRY(Statement s, prepare(sql));
    return sqlite3_step(s.get()) == SQLITE_ROW ? sqlite3_column_int64(s.get(), 0) : 0;
  }
  // Whether a transaction is open. SQLite's own word: after some errors (a full disk) it rolls back by itself.
  bool changing() const { return sqlite3_get_autocommit(db.get()) == 0; }
  Status begin() {
    if (changing()) return {};
    return run("BEGIN");
  }
  Status step(const Statement& s) {
    const int code = sqlite3_step(s.get());
    sqlite3_reset(s.get());
    if (code != SQLITE_DONE) return fail(error("write"));
    return {};
  }
  static void bind(const Statement& s, int at, std::string_view text) {
    sqlite3_bind_text64(s.get(), at, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  Status write(const Statement& s, const Fact& fact) {
    SKEP_CHECK(begin());
    const std::string scope = scope_of(fact);
    sqlite3_bind_int64(s.get(), 1, static_cast<int64_t>(fact.id));
    bind(s, 2, scope);
    bind(s, 3, fact.text);
    const Status done = step(s);
    sqlite3_clear_bindings(s.get());
    return done;
  }

  Status connect() {
    sqlite3* raw = nullptr;
    const int code =
        sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    db.reset(raw);
    if (code != SQLITE_OK) return fail(error("open"));
    // The log is what lasts; here a power cut may cost the newest words, never the file's order.
    SKEP_CHECK(
        run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON; "
            "PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-8192"));
    SKEP_TRY(const int64_t schema, number("PRAGMA user_version"));
    if (schema != 0 && schema != kSchema) return fail(ErrorCode::corrupt, path + ": another version's full text");
    if (schema == 0) {
      SKEP_CHECK(
          run("BEGIN; CREATE VIRTUAL TABLE facts USING fts5(scope, text, content='', tokenize='unicode61 "
              "remove_diacritics 0'); CREATE TABLE state(applied INTEGER NOT NULL); "
              "INSERT INTO state VALUES(0); PRAGMA user_version=1; COMMIT"));
    }
    SKEP_TRY(const int64_t last, number("SELECT applied FROM state"));
    applied = static_cast<uint64_t>(last);
    SKEP_TRY(insert, prepare("INSERT INTO facts(rowid, scope, text) VALUES(?1, ?2, ?3)"));
    SKEP_TRY(erase, prepare("INSERT INTO facts(facts, rowid, scope, text) VALUES('delete', ?1, ?2, ?3)"));
    SKEP_TRY(find, prepare("SELECT rowid, bm25(facts, 0.0, 1.0) AS r FROM facts WHERE facts MATCH ?1 "
                           "ORDER BY r LIMIT ?2"));
    return {};
  }
};

TextIndex::TextIndex(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TextIndex::TextIndex(TextIndex&&) noexcept = default;
TextIndex& TextIndex::operator=(TextIndex&&) noexcept = default;
TextIndex::~TextIndex() = default;

Result<TextIndex> TextIndex::open(const std::string& path) {
  TextIndex index(std::make_unique<Impl>());
  index.impl_->path = path;
  const Status connected = index.impl_->connect();
  if (connected) return index;
  if (connected.error().code != ErrorCode::corrupt) return fail(connected.error());
  SKEP_CHECK(index.remake());
  return index;
}

Status TextIndex::remake() {
  auto fresh = std::make_unique<Impl>();
  fresh->path = std::move(impl_->path);
  impl_ = std::move(fresh);  // closes the old file
  for (const char* part : {"", "-wal", "-shm"}) {
    std::error_code ignored;
    std::filesystem::remove(impl_->path + part, ignored);
  }
  return impl_->connect();
}

uint64_t TextIndex::applied() const { return impl_->applied; }
Status TextIndex::add(const Fact& fact) { return impl_->write(impl_->insert, fact); }
Status TextIndex::remove(const Fact& fact) { return impl_->write(impl_->erase, fact); }

Result<std::vector<TextIndex::Match>> TextIndex::search(const std::vector<std::string>& words, const Filter& filter,
                                                        size_t limit) {
  std::vector<Match> matches;
  if (words.empty()) return matches;
  const std::string match = match_of(words, filter);
  Impl::bind(impl_->find, 1, match);
  sqlite3_bind_int64(impl_->find.get(), 2, static_cast<int64_t>(limit));
  int code = 0;
  while ((code = sqlite3_step(impl_->find.get())) == SQLITE_ROW) {
    matches.push_back({static_cast<FactId>(sqlite3_column_int64(impl_->find.get(), 0)),
                       std::max(0.0, -sqlite3_column_double(impl_->find.get(), 1))});
  }
  sqlite3_reset(impl_->find.get());
  sqlite3_clear_bindings(impl_->find.get());
  if (code != SQLITE_DONE) return fail(impl_->error("search"));
  return matches;
}

Status TextIndex::commit(uint64_t applied) {
  if (!impl_->changing() && applied == impl_->applied) return {};
  SKEP_CHECK(impl_->begin());
  SKEP_CHECK(impl_->run(fmt::format("UPDATE state SET applied={}", applied).c_str()));
  SKEP_CHECK(impl_->run("COMMIT"));
  impl_->applied = applied;
  return {};
}

Status TextIndex::purge(uint64_t applied) {
  SKEP_CHECK(impl_->begin());
  // Merging everything into one segment is what drops removed words; freed pages are zeroed, then given back.
  SKEP_CHECK(impl_->run("INSERT INTO facts(facts) VALUES('optimize')"));
  SKEP_CHECK(commit(applied));
  return impl_->run("PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
}

}  // namespace skep::memory
