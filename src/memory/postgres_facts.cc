#include "memory/postgres_facts.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "memory/words.h"
#include "store/postgres_connection.h"

namespace skep::memory {

using store::parse_pg_array;
using store::pg_array;
using store::PgConnection;
using store::PgRows;
using store::PgStatement;
using store::PgText;

namespace {

constexpr size_t kCandidates = 48;
constexpr size_t kMostWords = 8;
constexpr std::chrono::minutes kLongWork{5};  // for a VACUUM or an index over all facts

constexpr const char* kSchema = R"(
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS skep_facts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  agent text NOT NULL, text text NOT NULL, source text NOT NULL, tags text[] NOT NULL, time bigint NOT NULL,
  hash bigint NOT NULL, vector vector,
  words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED);
CREATE INDEX IF NOT EXISTS skep_facts_agent ON skep_facts (agent, id);
CREATE INDEX IF NOT EXISTS skep_facts_hash ON skep_facts (hash);
CREATE INDEX IF NOT EXISTS skep_facts_words ON skep_facts USING gin (words);
CREATE INDEX IF NOT EXISTS skep_facts_bare ON skep_facts (id) WHERE vector IS NULL;
CREATE TABLE IF NOT EXISTS skep_facts_state (one boolean PRIMARY KEY DEFAULT true CHECK (one),
  embedder text NOT NULL, dimensions int NOT NULL);
INSERT INTO skep_facts_state VALUES (true, '', 0) ON CONFLICT DO NOTHING;)";

constexpr const char* kColumns = "id, agent, text, source, tags, time";

std::string vector_text(const std::vector<float>& vector) {
  std::string out = "[";
  for (const float x : vector) fmt::format_to(std::back_inserter(out), "{}{}", out.size() > 1 ? "," : "", x);
  return out + "]";
}

int64_t hash_of(const NewFact& fact) {
  const std::string key = fact.agent + '\0' + normalized(fact.text);
  return static_cast<int64_t>(XXH3_64bits(key.data(), key.size()));
}

std::string stamp(WallTime time) { return std::to_string(time.time_since_epoch().count()); }

Result<Fact> fact_at(const PgRows& rows, int row) {
  SKEP_TRY(std::vector<std::string> tags, parse_pg_array(rows.text(row, 4)));
  return Fact{static_cast<FactId>(rows.number(row, 0)),
              rows.text(row, 1),
              rows.text(row, 2),
              rows.text(row, 3),
              std::move(tags),
              WallTime(Duration(rows.number(row, 5)))};
}

// Conditions as SQL; its parameters go behind those that are there.
std::string where(const Filter& filter, std::vector<PgText>& parameters) {
  std::string sql = "true";
  const auto next = [&](std::string value) {
    parameters.emplace_back(std::move(value));
    return "$" + std::to_string(parameters.size());
  };
  if (filter.agent) {
    sql += " AND agent" + (filter.with_shared ? " IN (" + next(*filter.agent) + ", '')" : " = " + next(*filter.agent));
  }
  if (!filter.tags.empty()) sql += " AND tags @> " + next(pg_array(filter.tags)) + "::text[]";
  if (filter.from) sql += " AND time >= " + next(stamp(*filter.from)) + "::bigint";
  if (filter.to) sql += " AND time < " + next(stamp(*filter.to)) + "::bigint";
  return sql;
}

std::string id_array(const std::vector<FactId>& ids) {
  std::vector<std::string> texts;
  for (const FactId id : ids) texts.push_back(std::to_string(id));
  return pg_array(texts);
}

// An agent is to be forgotten, and not some of what it knows.
bool everything_of_one(const Filter& filter) {
  return filter.agent && !filter.with_shared && filter.tags.empty() && !filter.from && !filter.to;
}

// A NUL can't stand in PostgreSQL's text.
Status check_text(const NewFact& fact) {
  const auto has_nul = [](const std::string& s) { return s.find('\0') != s.npos; };
  if (has_nul(fact.text) || has_nul(fact.agent) || has_nul(fact.source) ||
      std::any_of(fact.tags.begin(), fact.tags.end(), has_nul)) {
    return fail(ErrorCode::invalid_argument, "PostgreSQL keeps no text with a NUL character in it");
  }
  return {};
}

}  // namespace

struct PostgresFacts::Impl {
  PostgresFactsOptions options;
  PgConnection db;
  std::string embedder;
  size_t dimensions = 0;
  bool traces_left = false;  // an agent's facts are gone, their bytes are not yet: the server failed us

  [[nodiscard]] std::string typed() const { return fmt::format("vector({})", dimensions); }
  Status check_vector(const std::vector<float>& vector) const {
    if (vector.empty() || vector.size() == dimensions) return {};
    return fail(ErrorCode::invalid_argument,
                fmt::format("a vector has {} dimensions, the embedder's have {}", vector.size(), dimensions));
  }
  // What goes over the whole table takes its time.
  template <typename Work>
  auto at_length(const Work& work) {
    db.set_limit(kLongWork);
    auto done = work();
    db.set_limit(options.limit);
    return done;
  }
  // What was deleted: out of searches' way, and its values out of the planner's statistics.
  Status vacuum() {
    return at_length([&] { return db.run("VACUUM (ANALYZE) skep_facts"); });
  }
  // … and out of the files. Pages keep the bytes of rows that are gone, those of the statistics too, and the index of
  // words every word that ever was.
  Status write_anew() {
    const Status done = at_length([&]() -> Status {
      // Of an empty table ANALYZE keeps what it knew; nobody sees the row that is there meanwhile.
      SKEP_CHECK(
          db.run("BEGIN; INSERT INTO skep_facts (agent, text, source, tags, time, hash) VALUES ('', '', '', '{}', "
                 "0, 0); ANALYZE skep_facts; DELETE FROM skep_facts WHERE hash = 0 AND text = ''; COMMIT"));
      SKEP_CHECK(db.run("VACUUM FULL skep_facts"));
      return db.run("VACUUM FULL pg_statistic");
    });
    traces_left = !done;
    return done;
  }
  // The nearest facts as id, agent, text, source, tags, time, cosine.
  [[nodiscard]] PgStatement nearest(const std::vector<float>& vector, const Filter& filter, size_t count) const {
    PgStatement s;
    s.parameters.emplace_back(vector_text(vector));
    const std::string conditions = where(filter, s.parameters);
    s.sql = fmt::format(
        "SELECT {0}, 1 - (vector::{1} <=> $1::{1}) FROM skep_facts WHERE vector_dims(vector) = {4} AND {2} "
        "ORDER BY vector::{1} <=> $1::{1} LIMIT {3}",
        kColumns, typed(), conditions, count, dimensions);
    return s;
  }
};

PostgresFacts::PostgresFacts(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PostgresFacts::~PostgresFacts() = default;

Result<std::unique_ptr<PostgresFacts>> PostgresFacts::open(PostgresFactsOptions options) {
  // A filter may leave few of the nearest: the index is walked on until there are enough.
  SKEP_TRY(PgConnection db,
           PgConnection::open(options.connection, {options.limit, {"SET hnsw.iterative_scan = strict_order"}}));
  const Status made = db.run(kSchema);
  if (!made) {
    Error error = made.error();
    if (error.message.find("vector") != error.message.npos) {
      error.hint = "install the extension pgvector for this server (Debian: postgresql-<version>-pgvector)";
    }
    return fail(std::move(error));
  }
  SKEP_TRY(const PgRows state, db.run({"SELECT embedder, dimensions FROM skep_facts_state", {}}));
  auto impl = std::unique_ptr<Impl>(
      new Impl{std::move(options), std::move(db), state.text(0, 0), static_cast<size_t>(state.number(0, 1))});
  return std::unique_ptr<PostgresFacts>(new PostgresFacts(std::move(impl)));
}

Result<std::vector<Added>> PostgresFacts::add(std::vector<NewFact> facts) {
  std::vector<PgStatement> lookups;
  for (NewFact& fact : facts) {
    SKEP_CHECK(check(fact));
    SKEP_CHECK(check_text(fact));
    SKEP_CHECK(impl_->check_vector(fact.vector));
    lookups.push_back({"SELECT id, text FROM skep_facts WHERE hash = $1 AND agent = $2",
                       {std::to_string(hash_of(fact)), fact.agent}});
  }
  SKEP_TRY(const std::vector<PgRows> same_text, impl_->db.run_together(lookups));
  // Only those whose words are new are compared by meaning.
  std::vector<PgStatement> near;
  std::map<size_t, size_t> near_of;
  for (size_t i = 0; i < facts.size(); ++i) {
    if (same_text[i].size() > 0 || facts[i].vector.empty() || facts[i].verbatim) continue;
    Filter own;
    own.agent = facts[i].agent;
    own.with_shared = false;
    near_of[i] = near.size();
    near.push_back(impl_->nearest(facts[i].vector, own, 3));
  }
  SKEP_TRY(const std::vector<PgRows> same_meaning, impl_->db.run_together(near));

  std::vector<PgStatement> changes;
  std::vector<Added> added(facts.size());
  std::vector<std::pair<size_t, size_t>> inserted;  // fact, statement
  std::unordered_map<int64_t, size_t> of_this_batch;
  std::vector<std::pair<size_t, size_t>> twins;  // fact, of which fact
  const auto renew = [&](FactId id, const NewFact& fact) {
    changes.push_back(
        {"UPDATE skep_facts SET time = greatest(time, $2::bigint), tags = (SELECT coalesce(array_agg(t "
         "ORDER BY t COLLATE \"C\"), '{}') FROM (SELECT DISTINCT unnest(tags || $3::text[]) AS t LIMIT 32)"
         " AS all_tags) WHERE id = $1::bigint",
         {std::to_string(id), stamp(fact.time), pg_array(fact.tags)}});
  };
  for (size_t i = 0; i < facts.size(); ++i) {
    const NewFact& fact = facts[i];
    const int64_t hash = hash_of(fact);
    if (const auto twin = of_this_batch.find(hash); twin != of_this_batch.end()) {
      twins.emplace_back(i, twin->second);
      continue;
    }
    FactId known = 0;
    for (int row = 0; row < same_text[i].size() && known == 0; ++row) {
      if (normalized(same_text[i].text(row, 1)) == normalized(fact.text)) {
        known = static_cast<FactId>(same_text[i].number(row, 0));
      }
    }
    if (const auto at = near_of.find(i); known == 0 && at != near_of.end()) {
      const PgRows& rows = same_meaning[at->second];
      for (int row = 0; row < rows.size() && known == 0; ++row) {
        if (rows.real(row, 6) >= double{impl_->options.scoring.same} &&
            !differ_in_detail(rows.text(row, 2), fact.text)) {
          known = static_cast<FactId>(rows.number(row, 0));
        }
      }
    }
    if (known != 0) {
      renew(known, fact);
      added[i] = {known, true};
      continue;
    }
    of_this_batch.emplace(hash, i);
    inserted.emplace_back(i, changes.size());
    changes.push_back(
        {"INSERT INTO skep_facts (agent, text, source, tags, time, hash, vector) VALUES ($1, $2, $3, "
         "$4::text[], $5::bigint, $6::bigint, $7::vector) RETURNING id",
         {fact.agent, fact.text, fact.source, pg_array(fact.tags), stamp(fact.time), std::to_string(hash),
          fact.vector.empty() ? PgText() : PgText(vector_text(fact.vector))}});
  }
  SKEP_TRY(const std::vector<PgRows> changed, impl_->db.run_together(changes));
  for (const auto& [fact, statement] : inserted)
    added[fact] = {static_cast<FactId>(changed[statement].number(0, 0)), false};
  changes.clear();
  for (const auto& [fact, first] : twins) {
    added[fact] = {added[first].id, true};
    renew(added[first].id, facts[fact]);
  }
  SKEP_CHECK(impl_->db.run_together(changes));
  return added;
}

Result<std::vector<Hit>> PostgresFacts::search(const Query& query) {
  if (query.limit == 0 || query.limit > kMostHits) {
    return fail(ErrorCode::invalid_argument, fmt::format("limit is {}, must be 1 to {}", query.limit, kMostHits));
  }
  SKEP_CHECK(impl_->check_vector(query.vector));
  const size_t candidates = std::max(kCandidates, 2 * query.limit);
  std::vector<PgStatement> both;
  if (!query.vector.empty()) both.push_back(impl_->nearest(query.vector, query.filter, candidates));
  std::vector<std::string> words = words_of(query.text);
  // Long words tell more than short ones; `simple` has no stop words to leave out.
  std::stable_sort(words.begin(), words.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  if (words.size() > kMostWords) words.resize(kMostWords);
  if (!words.empty()) {
    PgStatement s;
    std::string any;
    for (const std::string& word : words) any += (any.empty() ? "'" : " | '") + word + "'";
    s.parameters.emplace_back(any);
    std::string similarity = "0::float8";
    if (!query.vector.empty()) {
      s.parameters.emplace_back(vector_text(query.vector));
      similarity = fmt::format("coalesce(1 - (vector::{0} <=> $2::{0}), 0)", impl_->typed());
    }
    const std::string conditions = where(query.filter, s.parameters);
    // The vectors of the best alone are fetched, not those of all that have one of the words.
    s.sql = fmt::format(
        "SELECT {}, {}, r FROM (SELECT id AS best, ts_rank(words, $1::tsquery) AS r FROM skep_facts WHERE words @@ "
        "$1::tsquery AND {} ORDER BY r DESC LIMIT {}) AS found JOIN skep_facts ON id = best ORDER BY r DESC",
        kColumns, similarity, conditions, candidates);
    both.push_back(std::move(s));
  }
  SKEP_TRY(const std::vector<PgRows> answers, impl_->db.run_together(both));
  std::map<FactId, Hit> found;
  for (size_t a = 0; a < answers.size(); ++a) {
    const PgRows& rows = answers[a];
    const bool by_text = !words.empty() && a + 1 == answers.size();
    for (int row = 0; row < rows.size(); ++row) {
      SKEP_TRY(Fact fact, fact_at(rows, row));
      Hit& hit = found[fact.id];
      hit.fact = std::move(fact);
      if (!query.vector.empty()) hit.similarity = rows.real(row, 6);
      if (by_text && rows.real(0, 7) > 0) hit.text_score = rows.real(row, 7) / rows.real(0, 7);
    }
  }
  std::vector<Hit> hits;
  for (auto& [id, hit] : found) hits.push_back(std::move(hit));
  rank(hits, impl_->options.scoring, query, !query.vector.empty(), !words.empty());
  return hits;
}

Result<std::vector<Fact>> PostgresFacts::list(const Filter& filter, FactId after, size_t limit) {
  PgStatement s;
  s.parameters = {std::to_string(after), std::to_string(limit)};
  const std::string conditions = where(filter, s.parameters);
  s.sql = fmt::format("SELECT {} FROM skep_facts WHERE id > $1::bigint AND {} ORDER BY id LIMIT $2::bigint", kColumns,
                      conditions);
  SKEP_TRY(const PgRows rows, impl_->db.run(s));
  std::vector<Fact> facts;
  for (int row = 0; row < rows.size(); ++row) {
    SKEP_TRY(Fact fact, fact_at(rows, row));
    facts.push_back(std::move(fact));
  }
  return facts;
}

Result<size_t> PostgresFacts::forget(const std::vector<FactId>& ids) {
  SKEP_TRY(const PgRows gone, impl_->db.run({"DELETE FROM skep_facts WHERE id = ANY($1::bigint[])", {id_array(ids)}}));
  if (gone.affected() > 0) SKEP_CHECK(impl_->vacuum());
  return static_cast<size_t>(gone.affected());
}

Result<size_t> PostgresFacts::forget(const Filter& filter) {
  PgStatement s;
  const std::string conditions = where(filter, s.parameters);
  s.sql = "DELETE FROM skep_facts WHERE " + conditions;
  SKEP_TRY(const PgRows gone, impl_->db.run(s));
  const bool any = gone.affected() > 0;
  if (everything_of_one(filter)) {
    if (any || impl_->traces_left) SKEP_CHECK(impl_->write_anew());
  } else if (any) {
    SKEP_CHECK(impl_->vacuum());
  }
  return static_cast<size_t>(gone.affected());
}

Status PostgresFacts::use_embedder(const std::string& identity, size_t dimensions) {
  if (dimensions == 0 || dimensions > 2000) {
    return fail(ErrorCode::invalid_argument, fmt::format("pgvector indexes 1 to 2000 dimensions, not {}", dimensions));
  }
  if (impl_->embedder == identity && impl_->dimensions == dimensions) return {};
  // The index takes vectors of its length alone: rows that were just emptied are still seen while it is built.
  const std::vector<PgStatement> anew = {
      {"DROP INDEX IF EXISTS skep_facts_vector", {}},
      {"UPDATE skep_facts SET vector = NULL WHERE vector IS NOT NULL", {}},
      {"UPDATE skep_facts_state SET embedder = $1, dimensions = $2::int", {identity, std::to_string(dimensions)}},
      {fmt::format("CREATE INDEX skep_facts_vector ON skep_facts USING hnsw ((vector::vector({0})) vector_cosine_ops) "
                   "WHERE vector_dims(vector) = {0}",
                   dimensions),
       {}}};
  SKEP_CHECK(impl_->at_length([&] { return impl_->db.run_together(anew); }));
  impl_->embedder = identity;
  impl_->dimensions = dimensions;
  return {};
}

Result<std::vector<Fact>> PostgresFacts::without_vector(size_t limit, FactId after) {
  SKEP_TRY(const PgRows rows,
           impl_->db.run(
               {fmt::format("SELECT {} FROM skep_facts WHERE vector IS NULL AND id > $1::bigint ORDER BY id LIMIT {}",
                            kColumns, limit),
                {std::to_string(after)}}));
  std::vector<Fact> facts;
  for (int row = 0; row < rows.size(); ++row) {
    SKEP_TRY(Fact fact, fact_at(rows, row));
    facts.push_back(std::move(fact));
  }
  return facts;
}

Status PostgresFacts::set_vectors(const std::vector<std::pair<FactId, std::vector<float>>>& vectors) {
  std::vector<PgStatement> changes;
  for (const auto& [id, vector] : vectors) {
    SKEP_CHECK(impl_->check_vector(vector));
    if (vector.empty()) continue;
    changes.push_back(
        {"UPDATE skep_facts SET vector = $2::vector WHERE id = $1::bigint", {std::to_string(id), vector_text(vector)}});
  }
  SKEP_CHECK(impl_->db.run_together(changes));
  return {};
}

Result<LongTermStatistics> PostgresFacts::statistics() {
  SKEP_TRY(const PgRows rows,
           impl_->db.run({"SELECT count(*), count(vector), pg_total_relation_size('skep_facts') FROM "
                          "skep_facts",
                          {}}));
  LongTermStatistics s;
  s.facts = static_cast<size_t>(rows.number(0, 0));
  s.vectors = static_cast<size_t>(rows.number(0, 1));
  s.dimensions = impl_->dimensions;
  s.embedder = impl_->embedder;
  s.disk = Bytes(rows.number(0, 2));
  return s;
}

}  // namespace skep::memory
