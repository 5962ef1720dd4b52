#include "vectors_bench.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>

#include "memory/local_facts.h"
#include "peers.h"
#include "synthetic_facts.h"

namespace skep::bench {
namespace {

using memory::LongTerm;
using SteadyClock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr size_t kBatch = 16;  // facts of one add(), as a conversation or an import brings them
constexpr uint64_t kSeed = 20261121;

double since(SteadyClock::time_point began) {
  return std::chrono::duration<double>(SteadyClock::now() - began).count();
}

Row row(std::string name, double value, std::string unit) {
  Row r;
  r.name = std::move(name);
  r.value = value;
  r.unit = std::move(unit);
  return r;
}
Row least(Row r, double bar, const char* text) {
  r.bar = text;
  r.met = r.value >= bar;
  return r;
}
Row most(Row r, double bar, const char* text) {
  r.bar = text;
  r.met = r.value <= bar;
  return r;
}

// What is found against what is nearest by the floats, and how long it takes.
void semantic(const VectorsBenchOptions& o, Report& report) {
  const auto count = static_cast<size_t>(o.facts), dimensions = static_cast<size_t>(o.dimensions);
  SyntheticFacts facts(dimensions, kSeed);
  std::vector<float> all;
  all.reserve(count * dimensions);
  memory::VectorIndex index(dimensions);
  auto began = SteadyClock::now();
  double building = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto v = facts.vector();
    all.insert(all.end(), v.begin(), v.end());
    began = SteadyClock::now();
    index.add(i, memory::quantize(v));
    building += since(began);
  }
  began = SteadyClock::now();
  while (index.index_some(1000)) {
  }
  building += since(began);
  Random random(kSeed + 1);
  constexpr size_t kJudged = 500;  // by brute force
  size_t right = 0, judged = 0;
  std::vector<double> times;
  for (int q = 0; q < o.queries; ++q) {
    const size_t of = random.below(static_cast<uint32_t>(count));
    const std::vector<float> stored(all.begin() + static_cast<ptrdiff_t>(of * dimensions),
                                    all.begin() + static_cast<ptrdiff_t>((of + 1) * dimensions));
    const std::vector<float> query = facts.near(stored, 0.3);  // a cosine of about 0.96: said in other words
    began = SteadyClock::now();
    const auto found = index.search(memory::quantize(query), 1);
    times.push_back(since(began) * 1e3);
    if (judged == kJudged) continue;
    ++judged;
    size_t best = 0;
    float highest = -2;
    for (size_t i = 0; i < count; ++i) {
      const float* v = all.data() + i * dimensions;
      float dot = 0;
      for (size_t d = 0; d < dimensions; ++d) dot += v[d] * query[d];
      if (dot > highest) highest = dot, best = i;
    }
    right += !found.empty() && found.front().id == best ? 1U : 0U;
  }
  const double bytes = static_cast<double>(index.memory().count);
  // The same graph over floats: what it has per entry, with four bytes a dimension and no norm.
  const double as_float = bytes + static_cast<double>(count) * static_cast<double>(dimensions * 3 - sizeof(float));
  report.rows.push_back(most(row("semantic lookup p99", quantile(times, 0.99), "ms"), 1, "< 1 ms"));
  report.rows.push_back(row("semantic lookup p50", quantile(times, 0.5), "ms"));
  report.rows.push_back(
      least(row("recall@1 against brute force", static_cast<double>(right) / static_cast<double>(judged), ""), 0.98,
            ">= 0.98"));
  report.rows.push_back(most(row("int8 memory / float memory", bytes / as_float, ""), 0.45, "<= 0.45"));
  report.rows.push_back(row("index memory", bytes / 1e6, "MB"));
  report.rows.push_back(row("vectors indexed", static_cast<double>(count) / building, "/s"));
}

struct Measured {
  double inserts = 0;                                       // acknowledged per second
  double inserts_done = 0;                                  // … with all idle work done
  double search_p50 = 0, search_p99 = 0, filtered_p99 = 0;  // ms
};

Result<Measured> play(LongTerm& store, SyntheticFacts& facts, const VectorsBenchOptions& o) {
  const auto count = static_cast<size_t>(o.facts);
  SKEP_CHECK(store.use_embedder("bench", static_cast<size_t>(o.dimensions)));
  Measured m;
  double adding = 0, synced = 0;
  std::vector<std::vector<float>> some;
  std::vector<std::string> texts;
  for (size_t i = 0; i < count;) {
    std::vector<memory::NewFact> batch;
    for (; batch.size() < kBatch && i < count; ++i) {
      batch.push_back(facts.fact(i));
      if (i % (count / 1000 + 1) == 0) {
        some.push_back(batch.back().vector);
        texts.push_back(batch.back().text);
      }
    }
    const auto began = SteadyClock::now();
    SKEP_CHECK(store.add(std::move(batch)));
    // As the memory thread does: ten times a second.
    if (adding + since(began) - synced > 0.1) {
      SKEP_CHECK(store.sync());
      synced = adding + since(began);
    }
    adding += since(began);
  }
  auto began = SteadyClock::now();
  SKEP_CHECK(store.sync());
  adding += since(began);
  m.inserts = static_cast<double>(count) / adding;
  began = SteadyClock::now();
  while (store.work()) {
  }
  m.inserts_done = static_cast<double>(count) / (adding + since(began));
  Random random(kSeed + 2);
  std::vector<double> open, filtered;
  for (int q = 0; q < o.queries; ++q) {
    const size_t which = random.below(static_cast<uint32_t>(some.size()));
    memory::Query query;
    query.vector = facts.near(some[which], 0.5);
    query.text = texts[which].substr(0, texts[which].rfind(' '));
    query.now = WallTime(std::chrono::seconds(1'800'000'000));
    const bool filter = q % 2 == 1;
    if (filter) query.filter.agent = "agent-" + std::to_string(random.below(SyntheticFacts::kAgents));
    began = SteadyClock::now();
    SKEP_TRY(const std::vector<memory::Hit> hits, store.search(query));
    (filter ? filtered : open).push_back(since(began) * 1e3);
    if (hits.empty()) return fail(ErrorCode::internal, "a search found nothing");
  }
  m.search_p50 = quantile(open, 0.5);
  m.search_p99 = quantile(open, 0.99);
  m.filtered_p99 = quantile(filtered, 0.99);
  return m;
}

memory::LocalFactsOptions local_options(const VectorsBenchOptions& o) {
  memory::LocalFactsOptions options;
  options.folder = o.folder + "/facts";
  return options;
}

Status long_term(const VectorsBenchOptions& o, Report& report) {
  fs::remove_all(o.folder + "/facts");
  SyntheticFacts facts(static_cast<size_t>(o.dimensions), kSeed);
  SKEP_TRY(auto store, memory::LocalFacts::open(local_options(o)));
  SKEP_TRY(const Measured m, play(*store, facts, o));
  report.rows.push_back(
      least(row("long-term insert, durable (kill -9 at once, power 100 ms)", m.inserts, "/s"), 2000, ">= 2000 /s"));
  report.rows.push_back(row("… with the graph complete", m.inserts_done, "/s"));
  report.rows.push_back(most(row("long-term search p99", m.search_p99, "ms"), 3, "< 3 ms"));
  report.rows.push_back(most(row("… of one agent's facts p99", m.filtered_p99, "ms"), 3, "< 3 ms"));
  report.rows.push_back(row("long-term search p50", m.search_p50, "ms"));
  // Each batch on the disk before it is acknowledged.
  auto always = local_options(o);
  always.folder = o.folder + "/always";
  always.durability = memory::Durability::power;
  fs::remove_all(always.folder);
  {
    SKEP_TRY(auto safe, memory::LocalFacts::open(always));
    SKEP_CHECK(safe->use_embedder("bench", static_cast<size_t>(o.dimensions)));
    constexpr size_t kSafe = 2000;
    std::vector<std::vector<memory::NewFact>> batches;
    for (size_t i = 0; i < kSafe;) {
      auto& batch = batches.emplace_back();
      for (; batch.size() < kBatch; ++i) batch.push_back(facts.fact(i));
    }
    const auto began = SteadyClock::now();
    for (auto& batch : batches) SKEP_CHECK(safe->add(std::move(batch)));
    report.rows.push_back(row("long-term insert, each batch of 16 synced", kSafe / since(began), "/s"));
  }
  // The unhappy restart: without a snapshot of the last facts.
  memory::Query query;
  query.vector = facts.vector();
  const auto restart = [&]() -> Result<double> {
    store.reset();
    const auto began = SteadyClock::now();
    SKEP_TRY(store, memory::LocalFacts::open(local_options(o)));
    SKEP_CHECK(store->search(query));
    return since(began);
  };
  SKEP_TRY(const double unfolded, restart());
  report.rows.push_back(row("restart with an unfolded log, to the first answer", unfolded, "s"));
  while (store->work()) {
  }
  SKEP_CHECK(store->fold());
  SKEP_TRY(const double folded, restart());
  report.rows.push_back(most(row("restart, to the first answer", folded, "s"), 1, "< 1 s"));
  SKEP_TRY(const memory::LongTermStatistics s, store->statistics());
  report.rows.push_back(row("on disk", static_cast<double>(s.disk.count) / 1e6, "MB"));
  report.rows.push_back(row("in memory", static_cast<double>(s.memory.count) / 1e6, "MB"));
  return {};
}

}  // namespace

Result<Report> run_vectors_bench(const VectorsBenchOptions& o) {
  Report report;
  report.bench = "vectors";
  std::error_code error;
  fs::create_directories(o.folder, error);
  const auto wanted = [&](const char* part) { return o.only.empty() || o.only == part; };
  if (wanted("semantic")) semantic(o, report);
  if (wanted("facts")) SKEP_CHECK(long_term(o, report));
  if (o.peers || o.only == "peers") SKEP_CHECK(run_peers(o, report));
  report.notes.push_back(fmt::format("{} facts of {} dimensions around 2,000 topics, kernels {}", o.facts, o.dimensions,
                                     kernel::vector_kernels().target));
  return report;
}

}  // namespace skep::bench
