#include "memory/postgres_facts.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

#include "memory/postgres_search.h"
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
constexpr size_t kSame = 3;  // nearest facts that may be the same as a new one
// After so many, the server is asked anew how rare words are.
constexpr size_t kSearchesBetween = 256, kAddedBetween = 4096;
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
INSERT INTO skep_facts_state VALUES (true, '', 0) ON CONFLICT DO NOTHING;
ALTER TABLE skep_facts_state ADD COLUMN IF NOT EXISTS version int NOT NULL DEFAULT 1;)";

// What brings a table of the version before to the next. The facts stay; each step is one transaction,
// and may be run twice.
constexpr std::array<const char*, 1> kMigrations = {
    // 2: filters by tag or time alone are counted and read by an index.
    "CREATE INDEX IF NOT EXISTS skep_facts_tags ON skep_facts USING gin (tags);"
    "CREATE INDEX IF NOT EXISTS skep_facts_time ON skep_facts (time);",
};
constexpr int64_t kVersion = 1 + kMigrations.size();
// Of several daemons that open a database one migrates, and the others wait for it.
constexpr const char* kLock = "SELECT pg_advisory_xact_lock(hashtext('skep_facts'))";

// Small searches wait longer for parallel workers and compiled expressions than these save. A filter may leave few of
// the nearest: the graph is walked on until there are enough.
const std::vector<std::string> kSession = {"SET max_parallel_workers_per_gather = 0", "SET jit = off",
                                           "SET hnsw.ef_search = 64", "SET hnsw.iterative_scan = strict_order"};

int64_t hash_of(const NewFact& fact) {
  const std::string key = fact.agent + '\0' + normalized(fact.text);
  return static_cast<int64_t>(XXH3_64bits(key.data(), key.size()));
}

Result<Fact> fact_at(const PgRows& rows, int row) {
  SKEP_TRY(std::vector<std::string> tags, parse_pg_array(rows.text(row, 4)));
  return Fact{static_cast<FactId>(rows.number(row, 0)),
              rows.text(row, 1),
              rows.text(row, 2),
              rows.text(row, 3),
              std::move(tags),
              WallTime(Duration(rows.number(row, 5)))};
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
  Impl(PostgresFactsOptions o, PgConnection connection) : options(std::move(o)), db(std::move(connection)) {}
  Status migrate();

  PostgresFactsOptions options;
  PgConnection db;
  std::string embedder;
  size_t dimensions = 0;
  WordFrequencies frequencies = {};
  size_t searches = 0, added = 0;  // since they were learned
  bool traces_left = false;        // an agent's facts are gone, their bytes are not yet: the server failed us

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
  // Nothing is learned where the server says nothing, and words are weighed as they were.
  void learn_words(const PgRows& answer) {
    if (auto known = WordFrequencies::from(answer)) frequencies = std::move(*known);
    searches = added = 0;
  }
  [[nodiscard]] bool words_are_old() const {
    return !frequencies.known() || searches >= kSearchesBetween || added >= kAddedBetween;
  }
  [[nodiscard]] FactSearch search(const std::vector<float>& vector, const Filter& filter, size_t candidates) const {
    FactSearch s;
    if (!vector.empty()) s.vector = &vector;
    s.dimensions = dimensions;
    s.filter = &filter;
    s.candidates = candidates;
    s.scan_at_most = options.scan_at_most.value_or(worth_scanning(frequencies.facts()));
    return s;
  }
};

PostgresFacts::PostgresFacts(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PostgresFacts::~PostgresFacts() = default;

// Brings the tables to this version.
Status PostgresFacts::Impl::migrate() {
  // Another daemon may be at it, and take its time.
  const Status made = at_length([&] { return db.run(fmt::format("BEGIN; {}; {} COMMIT", kLock, kSchema).c_str()); });
  if (!made) {
    static_cast<void>(db.run("ROLLBACK"));
    Error error = made.error();
    if (error.message.find("vector") != error.message.npos) {
      error.hint = "install the extension pgvector for this server (Debian: postgresql-<version>-pgvector)";
    }
    return fail(std::move(error));
  }
  const PgStatement version{"SELECT version FROM skep_facts_state", {}};
  SKEP_TRY(const PgRows found, db.run(version));
  if (found.number(0, 0) > kVersion) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("the facts in this database are of version {}, this skep knows {}", found.number(0, 0), kVersion),
        "a newer skep has used it: use that, or another database");
  }
  return at_length([&]() -> Status {
    for (int64_t at = std::max<int64_t>(1, found.number(0, 0)); at < kVersion; ++at) {
      const Status done =
          db.run(fmt::format("BEGIN; {}; {} UPDATE skep_facts_state SET version = {} WHERE version = {}; "
                             "COMMIT",
                             kLock, kMigrations.at(static_cast<size_t>(at - 1)), at + 1, at)
                     .c_str());
      if (!done) static_cast<void>(db.run("ROLLBACK"));
      SKEP_CHECK(done);
    }
    return {};
  });
}

Result<std::unique_ptr<PostgresFacts>> PostgresFacts::open(PostgresFactsOptions options) {
  SKEP_TRY(PgConnection db, PgConnection::open(options.connection, {options.limit, kSession}));
  auto impl = std::make_unique<Impl>(std::move(options), std::move(db));
  SKEP_CHECK(impl->migrate());
  SKEP_TRY(
      const std::vector<PgRows> known,
      impl->db.run_together({{"SELECT embedder, dimensions FROM skep_facts_state", {}}, WordFrequencies::statement()}));
  impl->embedder = known[0].text(0, 0);
  impl->dimensions = static_cast<size_t>(known[0].number(0, 1));
  impl->learn_words(known[1]);
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
    near.push_back(statement(impl_->search(facts[i].vector, own, kSame)));
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
        if (rows.real(row, kSimilarity) >= double{impl_->options.scoring.same} &&
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
  for (const auto& [fact, at] : inserted) added[fact] = {static_cast<FactId>(changed[at].number(0, 0)), false};
  impl_->added += inserted.size();
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
  FactSearch search = impl_->search(query.vector, query.filter, std::max(kCandidates, 2 * query.limit));
  search.words = choose_words(query.text, impl_->frequencies, search.candidates);
  const bool by_vector = search.vector != nullptr, by_text = !search.words.all.empty();
  if (!by_vector && !by_text) return std::vector<Hit>();
  // What words are worth is asked now and then, on the same way, for the searches that follow.
  ++impl_->searches;
  std::vector<PgStatement> asked = {statement(search)};
  if (impl_->words_are_old()) asked.push_back(WordFrequencies::statement());
  SKEP_TRY(std::vector<PgRows> answers, impl_->db.run_together(asked));
  if (answers.size() > 1) impl_->learn_words(answers[1]);
  if (came_short(search, answers[0])) {
    search.scan = true;
    SKEP_TRY(answers[0], impl_->db.run(statement(search)));
  }
  const PgRows& rows = answers[0];
  std::map<FactId, Hit> found;
  double most = 0;
  for (int row = 0; row < rows.size(); ++row) {
    SKEP_TRY(Fact fact, fact_at(rows, row));
    Hit& hit = found[fact.id];
    hit.fact = std::move(fact);
    if (!rows.null(row, kSimilarity)) hit.similarity = rows.real(row, kSimilarity);
    if (!rows.null(row, kWeight)) hit.text_score = rows.real(row, kWeight);
    most = std::max(most, hit.text_score);
  }
  std::vector<Hit> hits;
  for (auto& [id, hit] : found) {
    if (most > 0) hit.text_score /= most;
    hits.push_back(std::move(hit));
  }
  rank(hits, impl_->options.scoring, query, by_vector, by_text);
  return hits;
}

Result<std::vector<Fact>> PostgresFacts::list(const Filter& filter, FactId after, size_t limit) {
  PgStatement s;
  s.parameters = {std::to_string(after), std::to_string(limit)};
  const std::string conditions = where(filter, s.parameters);
  s.sql = fmt::format("SELECT {} FROM skep_facts WHERE id > $1::bigint AND {} ORDER BY id LIMIT $2::bigint",
                      kFactColumns, conditions);
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
                            kFactColumns, limit),
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
