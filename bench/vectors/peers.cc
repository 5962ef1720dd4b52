#include "peers.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "cache/answer_cache.h"
#include "memory/local_facts.h"
#include "memory/postgres_facts.h"
#include "memory/vector_index.h"
#include "model/process_memory.h"
#include "store/key_value_answers.h"
#include "store/lmdb_key_value.h"
#include "store/postgres_connection.h"
#include "store/redis_key_value.h"
#include "store/testing_postgres.h"
#include "store/testing_redis.h"
#include "synthetic_facts.h"

namespace skep::bench {
namespace {

using memory::LongTerm;
using SteadyClock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr uint64_t kSeed = 20261121;
constexpr size_t kLoadBatch = 5000;  // facts of one bulk transaction
constexpr size_t kBatch = 16;        // … of one small one, as a conversation brings them
constexpr size_t kSmall = 160;       // facts that come in small ones
constexpr size_t kAnswers = 20'000;  // that are cached
constexpr size_t kAnswerBytes = 1000;
constexpr size_t kValues = 5000;
constexpr size_t kPipeline = 100;  // values of one round trip
constexpr int kMostQueries = 200;  // of each kind: pgvector takes a tenth of a second for one agent's among 100,000
constexpr size_t kJudged = 100;    // searches that are compared with brute force
constexpr size_t kNearest = 10;
constexpr std::chrono::minutes kLong{5};
constexpr const char* kPgvector = "pgvector";
constexpr const char* kRedis = "redis";
constexpr const char* kBoth = "redis + pgvector";

double since(SteadyClock::time_point began) {
  return std::chrono::duration<double>(SteadyClock::now() - began).count();
}

enum class Better { more, less };
void compare(Report& report, std::string name, double ours, const char* unit, const char* peer, double theirs,
             Better better) {
  Row row;
  row.name = std::move(name);
  row.value = ours;
  row.unit = unit;
  row.peer = peer;
  row.peer_value = theirs;
  row.ratio = better == Better::more ? ours / theirs : theirs / ours;
  report.rows.push_back(std::move(row));
}

Status collect(Result<Bytes> found, double& megabytes) {
  if (!found) return fail(found.error());
  megabytes = static_cast<double>(found->count) / 1e6;
  return {};
}

double folder_megabytes(const std::string& folder) {
  double bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.is_regular_file(error)) bytes += static_cast<double>(entry.file_size(error));
  }
  return bytes / 1e6;
}

// What both sides are given.
struct Data {
  std::vector<memory::NewFact> facts;  // loaded in bulk
  std::vector<memory::NewFact> more;   // that come in small batches
  struct Question {
    memory::Query query;
    std::vector<size_t> nearest;  // facts, by their floats, without the filter; empty: not judged
  };
  std::vector<Question> questions;
  std::vector<std::vector<float>> asked;  // vectors of cached answers' questions …
  std::vector<std::vector<float>> again;  // … and of the same, said in other words
};

std::vector<size_t> by_brute_force(const std::vector<memory::NewFact>& facts, const std::vector<float>& query) {
  std::vector<std::pair<float, size_t>> all;
  all.reserve(facts.size());
  for (size_t i = 0; i < facts.size(); ++i) {
    float dot = 0;
    for (size_t d = 0; d < query.size(); ++d) dot += facts[i].vector[d] * query[d];
    all.emplace_back(-dot, i);
  }
  std::partial_sort(all.begin(), all.begin() + kNearest, all.end());
  std::vector<size_t> nearest;
  for (size_t i = 0; i < kNearest; ++i) nearest.push_back(all[i].second);
  return nearest;
}

Data make_data(const VectorsBenchOptions& o) {
  Data data;
  SyntheticFacts source(static_cast<size_t>(o.dimensions), kSeed);
  const auto count = static_cast<size_t>(o.facts);
  for (size_t i = 0; i < count; ++i) data.facts.push_back(source.fact(i));
  for (size_t i = 0; i < kSmall; ++i) data.more.push_back(source.fact(count + i));
  Random random(kSeed + 2);
  for (int q = 0; q < std::min(o.queries, kMostQueries); ++q) {
    const memory::NewFact& of = data.facts[random.below(static_cast<uint32_t>(count))];
    Data::Question question;
    question.query.vector = source.near(of.vector, 0.5);
    question.query.text = of.text.substr(0, of.text.rfind(' '));
    question.query.now = WallTime(std::chrono::seconds(1'800'000'000));
    question.query.limit = kNearest;
    if (q < static_cast<int>(kJudged)) question.nearest = by_brute_force(data.facts, question.query.vector);
    data.questions.push_back(std::move(question));
  }
  for (size_t i = 0; i < std::min(kAnswers, count); ++i) {
    data.asked.push_back(source.vector());
    data.again.push_back(source.near(data.asked.back(), 0.25));
  }
  return data;
}

// ---- Long-term memory

struct Measured {
  double load = 0;   // facts a second, the vectors' graph complete
  double small = 0;  // … in batches of 16 into what stands there
  double p50 = 0, p99 = 0, one_agent_p50 = 0, one_agent_p99 = 0, vector_p50 = 0, vector_p99 = 0;  // ms
  double recall = 0;            // at 10, of searches by vector alone
  double memory = 0, disk = 0;  // MB
};

Status add_in_batches(LongTerm& store, const std::vector<memory::NewFact>& facts, size_t batch) {
  for (size_t i = 0; i < facts.size(); i += batch) {
    const auto from = facts.begin() + static_cast<ptrdiff_t>(i);
    SKEP_CHECK(store.add({from, from + static_cast<ptrdiff_t>(std::min(batch, facts.size() - i))}));
  }
  return store.sync();
}

Status measure_searches(LongTerm& store, const Data& data, Measured& m) {
  const auto timed = [&](const memory::Query& query, std::vector<double>& times) -> Result<std::vector<memory::Hit>> {
    const auto began = SteadyClock::now();
    auto hits = store.search(query);
    times.push_back(since(began) * 1e3);
    if (hits && hits->empty()) return fail(ErrorCode::internal, "a search found nothing");
    return hits;
  };
  std::vector<double> open, of_one, by_vector;
  size_t right = 0;
  Random random(kSeed + 3);
  for (const Data::Question& question : data.questions) {
    SKEP_CHECK(timed(question.query, open));
    memory::Query query = question.query;
    query.filter.agent = "agent-" + std::to_string(random.below(SyntheticFacts::kAgents));
    SKEP_CHECK(timed(query, of_one));
    query = question.query;
    query.text.clear();
    SKEP_TRY(const std::vector<memory::Hit> hits, timed(query, by_vector));
    for (const size_t wanted : question.nearest) {
      right += std::any_of(hits.begin(), hits.end(),
                           [&](const memory::Hit& hit) { return hit.fact.text == data.facts[wanted].text; })
                   ? 1U
                   : 0U;
    }
  }
  m.p50 = quantile(open, 0.5), m.p99 = quantile(open, 0.99);
  m.one_agent_p50 = quantile(of_one, 0.5), m.one_agent_p99 = quantile(of_one, 0.99);
  m.vector_p50 = quantile(by_vector, 0.5), m.vector_p99 = quantile(by_vector, 0.99);
  m.recall = static_cast<double>(right) / static_cast<double>(kNearest * std::min(kJudged, data.questions.size()));
  return {};
}

Status measure_small(LongTerm& store, const Data& data, Measured& m) {
  const auto began = SteadyClock::now();
  SKEP_CHECK(add_in_batches(store, data.more, kBatch));
  m.small = static_cast<double>(data.more.size()) / since(began);
  return {};
}

Result<Measured> ours(const VectorsBenchOptions& o, const Data& data) {
  Measured m;
  memory::LocalFactsOptions options;
  options.folder = o.folder + "/facts";
  options.durability = memory::Durability::power;  // as a commit of PostgreSQL
  fs::remove_all(options.folder);
  double before = 0, after = 0;
  SKEP_CHECK(collect(model::process_memory(getpid()), before));
  SKEP_TRY(auto store, memory::LocalFacts::open(options));
  SKEP_CHECK(store->use_embedder("bench", static_cast<size_t>(o.dimensions)));
  const auto began = SteadyClock::now();
  SKEP_CHECK(add_in_batches(*store, data.facts, kLoadBatch));
  while (store->work()) {
  }
  m.load = static_cast<double>(data.facts.size()) / since(began);
  SKEP_CHECK(measure_searches(*store, data, m));
  SKEP_CHECK(collect(model::process_memory(getpid()), after));
  m.memory = after - before;
  SKEP_CHECK(measure_small(*store, data, m));
  SKEP_TRY(const memory::LongTermStatistics s, store->statistics());
  m.disk = static_cast<double>(s.disk.count) / 1e6;
  return m;
}

std::string as_text(const std::vector<float>& vector) {
  std::string text = "[";
  for (const float x : vector) fmt::format_to(std::back_inserter(text), "{}{}", text.size() > 1 ? "," : "", x);
  return text + "]";
}

// As much as a machine of this size is told to give it.
Status tune(store::TestingPostgres& server) {
  store::PgConnection db(server.connection());
  for (const char* setting :
       {"shared_buffers = '1GB'", "maintenance_work_mem = '2GB'", "max_wal_size = '8GB'", "jit = off"}) {
    SKEP_CHECK(db.run((std::string("ALTER SYSTEM SET ") + setting).c_str()));
  }
  SKEP_CHECK(
      db.run(fmt::format("ALTER SYSTEM SET max_parallel_maintenance_workers = {}", std::thread::hardware_concurrency())
                 .c_str()));
  server.kill();
  return server.run();
}

// The table that PostgresFacts made, filled as PostgreSQL's manual has it: COPY first, the index after.
Status load_by_copy(store::PgConnection& db, const VectorsBenchOptions& o, const std::vector<memory::NewFact>& facts) {
  SKEP_CHECK(db.run("DROP INDEX skep_facts_vector"));
  for (size_t i = 0; i < facts.size();) {
    std::string rows;
    for (const size_t end = std::min(facts.size(), i + kLoadBatch); i < end; ++i) {
      const memory::NewFact& f = facts[i];
      rows += fmt::format("{}\t{}\t{}\t{{}}\t{}\t{}\t{}\n", f.agent, f.text, f.source,
                          f.time.time_since_epoch().count(), i, as_text(f.vector));
    }
    SKEP_CHECK(db.copy_in("COPY skep_facts (agent, text, source, tags, time, hash, vector) FROM STDIN", rows));
  }
  return db.run(fmt::format("CREATE INDEX skep_facts_vector ON skep_facts USING hnsw ((vector::vector({0})) "
                            "vector_cosine_ops) WHERE vector_dims(vector) = {0};",
                            o.dimensions)
                    .c_str());
}

Result<Measured> theirs(const VectorsBenchOptions& o, const store::TestingPostgres& server, const Data& data) {
  Measured m;
  SKEP_TRY(auto store, memory::PostgresFacts::open({server.connection(), {}}));
  SKEP_CHECK(store->use_embedder("bench", static_cast<size_t>(o.dimensions)));
  store::PgConnection db(server.connection(), {kLong, {}});
  const auto began = SteadyClock::now();
  SKEP_CHECK(load_by_copy(db, o, data.facts));
  m.load = static_cast<double>(data.facts.size()) / since(began);
  SKEP_CHECK(db.run("VACUUM ANALYZE skep_facts"));
  SKEP_CHECK(measure_searches(*store, data, m));
  SKEP_CHECK(collect(model::process_tree_memory(server.process()), m.memory));
  SKEP_CHECK(measure_small(*store, data, m));
  SKEP_TRY(const memory::LongTermStatistics s, store->statistics());
  m.disk = static_cast<double>(s.disk.count) / 1e6;
  return m;
}

void report_long_term(Report& report, const Measured& us, const Measured& them) {
  compare(report, "bulk load, durable, graph complete", us.load, "/s", kPgvector, them.load, Better::more);
  compare(report, "insert in batches of 16, each durable", us.small, "/s", kPgvector, them.small, Better::more);
  compare(report, "search by text and vector p50", us.p50, "ms", kPgvector, them.p50, Better::less);
  compare(report, "… p99", us.p99, "ms", kPgvector, them.p99, Better::less);
  compare(report, "search of one agent's facts p50", us.one_agent_p50, "ms", kPgvector, them.one_agent_p50,
          Better::less);
  compare(report, "… p99", us.one_agent_p99, "ms", kPgvector, them.one_agent_p99, Better::less);
  compare(report, "search by vector alone p50", us.vector_p50, "ms", kPgvector, them.vector_p50, Better::less);
  compare(report, "… p99", us.vector_p99, "ms", kPgvector, them.vector_p99, Better::less);
  compare(report, "… recall@10", us.recall, "", kPgvector, them.recall, Better::more);
  compare(report, "memory", us.memory, "MB", kPgvector, them.memory, Better::less);
  compare(report, "disk", us.disk, "MB", kPgvector, them.disk, Better::less);
}

// ---- Short-term values and cached answers

std::string key_text(size_t i) { return "key" + std::to_string(i); }

struct PerSecond {
  double put = 0, get = 0;
};

Result<PerSecond> one_by_one(store::KeyValue& values) {
  const std::string value(100, 'v');
  PerSecond rate;
  auto began = SteadyClock::now();
  for (size_t i = 0; i < kValues; ++i) SKEP_CHECK(values.put("bench", key_text(i), value, std::chrono::hours(1)));
  rate.put = kValues / since(began);
  began = SteadyClock::now();
  for (size_t i = 0; i < kValues; ++i) SKEP_CHECK(values.get("bench", key_text(i)));
  rate.get = kValues / since(began);
  return rate;
}

// A hundred of them in one round trip; plain keys, without the indexes that RedisKeyValue keeps.
Result<PerSecond> in_pipelines(store::RedisPool& pool) {
  const auto pass = [&](const std::function<store::RedisCommand(size_t)>& command) -> Result<double> {
    const auto began = SteadyClock::now();
    for (size_t i = 0; i < kValues;) {
      std::vector<store::RedisCommand> commands;
      for (size_t n = 0; n < kPipeline && i < kValues; ++n) commands.push_back(command(i++));
      SKEP_CHECK(pool.run(commands));
    }
    return kValues / since(began);
  };
  const std::string value(100, 'v');
  PerSecond rate;
  SKEP_TRY(rate.put, pass([&](size_t i) {
             return store::RedisCommand{"SET", "p" + key_text(i), value, "EX", "3600"};
           }));
  SKEP_TRY(rate.get, pass([&](size_t i) { return store::RedisCommand{"GET", "p" + key_text(i)}; }));
  return rate;
}

Status compare_values(const VectorsBenchOptions& o, const store::TestingRedis& redis, Report& report) {
  store::StoreOptions options;
  options.folder = o.folder + "/values";
  fs::remove_all(options.folder);
  SKEP_TRY(const auto lmdb, store::Store::open(options));
  const SystemClock clock;
  store::LmdbKeyValue here(*lmdb, clock);
  store::RedisKeyValue there(redis.options());
  SKEP_TRY(const PerSecond us, one_by_one(here));
  SKEP_TRY(const PerSecond them, one_by_one(there));
  SKEP_TRY(const PerSecond piped, in_pipelines(there.pool()));
  compare(report, "short-term put", us.put, "/s", kRedis, them.put, Better::more);
  compare(report, "short-term get", us.get, "/s", kRedis, them.get, Better::more);
  compare(report, "short-term put, 100 a round trip", us.put, "/s", kRedis, piped.put, Better::more);
  compare(report, "short-term get, 100 a round trip", us.get, "/s", kRedis, piped.get, Better::more);
  return {};
}

cache::CacheKey key_of(size_t i) { return cache::CacheKeyBuilder().integer("n", static_cast<int64_t>(i)).finish(); }
std::string redis_key(size_t i) { return "answer:" + cache::to_hex(key_of(i)); }

// Seconds of a lookup and whether it found the right one.
struct Lookups {
  std::vector<double> exact, similar;  // ms
  size_t right = 0;
};
constexpr float kSimilar = 0.95F;

Result<Lookups> look_up_here(const VectorsBenchOptions& o, const Data& data, double& disk) {
  store::StoreOptions options;
  options.folder = o.folder + "/answers";
  fs::remove_all(options.folder);
  SKEP_TRY(const auto lmdb, store::Store::open(options));
  const SystemClock clock;
  store::LmdbKeyValue second(*lmdb, clock);
  cache::AnswerCache in_memory(clock, {}, {});
  store::KeyValueAnswers below(second, clock, 1_GiB);
  const auto is_there = [&](const cache::CacheKey& key) -> Result<bool> {
    if (in_memory.find_in_memory(key)) return true;
    SKEP_TRY(const auto kept, below.get(cache::bytes_of(key), clock.wall()));
    return kept.has_value();
  };
  memory::VectorIndex index(static_cast<size_t>(o.dimensions));
  for (size_t i = 0; i < data.asked.size(); ++i) {
    const std::string answer(kAnswerBytes, 'a');
    in_memory.put(key_of(i), answer, {"agent:bench"});
    const WallTime now = clock.wall();
    SKEP_CHECK(below.put({{.key = std::string(cache::bytes_of(key_of(i))),
                           .value = answer,
                           .tags = {"agent:bench"},
                           .stored = now,
                           .expires = now + std::chrono::hours(1)}}));
    index.add(i, memory::quantize(data.asked[i]));
  }
  while (index.index_some(1000)) {
  }
  Lookups found;
  Random random(kSeed + 4);
  for (int q = 0; q < o.queries; ++q) {
    const size_t of = random.below(static_cast<uint32_t>(data.asked.size()));
    auto began = SteadyClock::now();
    SKEP_TRY(const bool exact, is_there(key_of(of)));
    if (!exact) return fail(ErrorCode::internal, "an answer is not in the cache");
    found.exact.push_back(since(began) * 1e3);
    began = SteadyClock::now();
    const auto nearest = index.search(memory::quantize(data.again[of]), 1);
    const bool hit = !nearest.empty() && nearest.front().similarity >= kSimilar;
    SKEP_TRY(const bool similar, is_there(key_of(hit ? nearest.front().id : of)));
    if (!similar) return fail(ErrorCode::internal, "an answer is gone");
    found.similar.push_back(since(began) * 1e3);
    found.right += hit && nearest.front().id == of ? 1U : 0U;
  }
  SKEP_CHECK(lmdb->flush());
  disk = folder_megabytes(options.folder);
  return found;
}

Status load_questions(store::PgConnection& db, const VectorsBenchOptions& o, const Data& data) {
  SKEP_CHECK(
      db.run(fmt::format("CREATE TABLE questions (id bigint PRIMARY KEY, answer text NOT NULL, vector vector({}))",
                         o.dimensions)
                 .c_str()));
  for (size_t i = 0; i < data.asked.size();) {
    std::string rows;
    for (const size_t end = std::min(data.asked.size(), i + kLoadBatch); i < end; ++i) {
      rows += fmt::format("{}\t{}\t{}\n", i, redis_key(i), as_text(data.asked[i]));
    }
    SKEP_CHECK(db.copy_in("COPY questions FROM STDIN", rows));
  }
  SKEP_CHECK(db.run("CREATE INDEX ON questions USING hnsw (vector vector_cosine_ops)"));
  return db.run("VACUUM ANALYZE questions");
}

Result<Lookups> look_up_there(const VectorsBenchOptions& o, const Data& data, const store::TestingPostgres& server,
                              store::RedisPool& redis) {
  store::PgConnection db(server.connection(), {kLong, {}});
  SKEP_CHECK(load_questions(db, o, data));
  for (size_t i = 0; i < data.asked.size();) {
    std::vector<store::RedisCommand> commands;
    for (size_t n = 0; n < kPipeline && i < data.asked.size(); ++n, ++i) {
      commands.push_back({"SET", redis_key(i), std::string(kAnswerBytes, 'a'), "EX", "3600"});
    }
    SKEP_CHECK(redis.run(commands));
  }
  const auto get = [&](const std::string& key) -> Status {
    SKEP_TRY(const auto replies, redis.run({{"GET", key}}));
    if (replies[0].kind != store::RedisReply::Kind::text) return fail(ErrorCode::internal, "an answer is gone");
    return {};
  };
  Lookups found;
  Random random(kSeed + 4);
  for (int q = 0; q < o.queries; ++q) {
    const size_t of = random.below(static_cast<uint32_t>(data.asked.size()));
    auto began = SteadyClock::now();
    SKEP_CHECK(get(redis_key(of)));
    found.exact.push_back(since(began) * 1e3);
    began = SteadyClock::now();
    SKEP_TRY(const store::PgRows rows,
             db.run({"SELECT id, answer, 1 - (vector <=> $1::vector) FROM questions ORDER BY vector "
                     "<=> $1::vector LIMIT 1",
                     {as_text(data.again[of])}}));
    const bool hit = rows.size() == 1 && rows.real(0, 2) >= double{kSimilar};
    if (hit) SKEP_CHECK(get(rows.text(0, 1)));
    found.similar.push_back(since(began) * 1e3);
    found.right += hit && rows.number(0, 0) == static_cast<int64_t>(of) ? 1U : 0U;
  }
  return found;
}

Status compare_answers(const VectorsBenchOptions& o, const Data& data, const store::TestingPostgres& server,
                       const store::TestingRedis& redis, Report& report) {
  store::RedisPool pool(redis.options());
  double disk = 0, memory = 0;
  SKEP_TRY(const Lookups us, look_up_here(o, data, disk));
  SKEP_TRY(const Lookups them, look_up_there(o, data, server, pool));
  SKEP_CHECK(collect(model::process_tree_memory(redis.process()), memory));
  const auto asked = static_cast<double>(o.queries);
  compare(report, "cached answer, exact p50", quantile(us.exact, 0.5), "ms", kRedis, quantile(them.exact, 0.5),
          Better::less);
  compare(report, "… p99", quantile(us.exact, 0.99), "ms", kRedis, quantile(them.exact, 0.99), Better::less);
  compare(report, "cached answer by meaning p50", quantile(us.similar, 0.5), "ms", kBoth, quantile(them.similar, 0.5),
          Better::less);
  compare(report, "… p99", quantile(us.similar, 0.99), "ms", kBoth, quantile(them.similar, 0.99), Better::less);
  compare(report, "… the right one", static_cast<double>(us.right) / asked, "", kBoth,
          static_cast<double>(them.right) / asked, Better::more);
  compare(report, "answers on disk", disk, "MB", kRedis, folder_megabytes(redis.folder()), Better::less);
  report.notes.push_back(fmt::format("redis took {:.0f} MB of memory", memory));
  return {};
}

}  // namespace

Status run_peers(const VectorsBenchOptions& o, Report& report) {
  SKEP_TRY(const auto server, store::TestingPostgres::start(o.deps));
  SKEP_CHECK(tune(*server));
  const Data data = make_data(o);
  SKEP_TRY(const Measured us, ours(o, data));
  SKEP_TRY(const Measured them, theirs(o, *server, data));
  report_long_term(report, us, them);
  if (!store::TestingRedis::installed()) {
    report.notes.emplace_back("no redis-server on this machine");
    return {};
  }
  const store::TestingRedis redis;
  SKEP_CHECK(compare_values(o, redis, report));
  return compare_answers(o, data, *server, redis, report);
}

}  // namespace skep::bench
