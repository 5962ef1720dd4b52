// Which words a search in PostgreSQL looks for, and that its statements are answered as they are meant to be: by the
// indexes, with what reading every fact would give.

#include "memory/postgres_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "memory/local_facts.h"
#include "memory/postgres_testing.h"
#include "store/testing_folder.h"

namespace skep::memory {
namespace {

using store::PgConnection;
using store::PgStatement;

constexpr size_t kDimensions = 16;

std::string words(const SearchWords& chosen, size_t from, size_t to) {
  std::string all;
  for (size_t i = from; i < to; ++i) all += (all.empty() ? "" : " ") + chosen.all[i].word;
  return all;
}

TEST(SearchWords, OfWordsThatNothingIsKnownOfAllAreRare) {
  const SearchWords chosen = choose_words("The gasket of the pump", {}, 48);
  EXPECT_EQ(words(chosen, 0, chosen.all.size()), "gasket pump the of") << "each once, long ones first";
  EXPECT_EQ(chosen.rare, 4U);
  EXPECT_EQ(chosen.common, 0U);
  EXPECT_EQ(choose_words("?!", {}, 48).all.size(), 0U);
  std::string many;
  for (int i = 0; i < 50; ++i) many += "word" + std::to_string(i) + " ";
  EXPECT_EQ(choose_words(many, {}, 48).all.size(), SearchWords::kMost);
}

TEST(WorthScanning, GrowsWithTheTableAndHasBounds) {
  EXPECT_EQ(worth_scanning(0), 1000U);
  EXPECT_EQ(worth_scanning(100'000), 3464U);
  EXPECT_EQ(worth_scanning(1e12), 50'000U);
}

// 12,000 facts of 60 agents, in a database of its own. Every fact has `all`, every third `third`, each number's word
// is in twenty, and every hundredth has the tag `red`.
class PostgresSearch : public ::testing::Test {
 protected:
  static constexpr int kFacts = 12'000, kAgents = 60;
  static void SetUpTestSuite() {
    made = std::make_unique<PostgresStore>();
    ASSERT_TRUE(made->store().use_embedder("e", kDimensions));
    Random random(5);
    std::string rows;
    vectors.clear();
    for (int i = 0; i < kFacts; ++i) {
      vectors.push_back(random_unit(random, kDimensions));
      rows += fmt::format("agent-{}\tall {} number{} item{}\tbench\t{}\t{}\t{}\t{}\n", i % kAgents,
                          i % 3 == 0 ? "third" : "other", i % (kFacts / 20), i, i % 100 == 0 ? "{red}" : "{}",
                          int64_t{i} * 1'000'000'000, i, vector_text(vectors.back()));
    }
    PgConnection db = connection();
    ASSERT_TRUE(db.run("DROP INDEX skep_facts_vector"));  // made after the facts it is there in a second
    ASSERT_TRUE(db.copy_in("COPY skep_facts (agent, text, source, tags, time, hash, vector) FROM STDIN", rows));
    ASSERT_TRUE(
        db.run("CREATE INDEX skep_facts_vector ON skep_facts USING hnsw ((vector::vector(16)) "
               "vector_cosine_ops) WHERE vector_dims(vector) = 16;"));
    ASSERT_TRUE(db.run("VACUUM ANALYZE skep_facts"));
    made->reopen();
  }
  static void TearDownTestSuite() { made.reset(); }
  static PgConnection connection() { return PgConnection(server()->connection(made->database)); }
  static WordFrequencies frequencies() {
    return WordFrequencies::from(connection().run(WordFrequencies::statement()).value()).value();
  }

  // How the server went about it, what it did not do left out.
  static std::string plan(const FactSearch& search) {
    PgStatement s = statement(search);
    s.sql = "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) " + s.sql;
    auto db = PgConnection(server()->connection(made->database),
                           {std::chrono::seconds(10), {"SET hnsw.iterative_scan = strict_order"}});
    const auto rows = db.run(s);
    EXPECT_TRUE(rows) << (rows ? "" : rows.error().text() + s.sql);
    std::string done;
    for (int i = 0; rows && i < rows->size(); ++i) {
      const std::string line = rows->text(i, 0);
      if (line.find("never executed") == line.npos) done += line + "\n";
    }
    return done;
  }
  static bool has(const std::string& plan, const std::string& part) { return plan.find(part) != plan.npos; }

  FactSearch search(const Filter& filter, const std::string& text, bool by_vector) {
    FactSearch s;
    if (by_vector) s.vector = &query_;
    s.dimensions = kDimensions;
    s.words = choose_words(text, frequencies(), 48);
    s.filter = &filter;
    s.candidates = 48;
    s.scan_at_most = worth_scanning(kFacts);
    return s;
  }
  // The ids of those that fit, the nearest first, by reading all.
  [[nodiscard]] std::vector<FactId> by_brute_force(const std::function<bool(int)>& fits, size_t count) const {
    std::vector<std::pair<double, FactId>> all;
    for (int i = 0; i < kFacts; ++i) {
      if (!fits(i)) continue;
      double dot = 0;
      const auto& v = vectors[static_cast<size_t>(i)];
      for (size_t d = 0; d < kDimensions; ++d) dot += double{v[d]} * double{query_[d]};
      all.emplace_back(-dot, static_cast<FactId>(i + 1));
    }
    std::sort(all.begin(), all.end());
    std::vector<FactId> ids;
    for (size_t i = 0; i < std::min(count, all.size()); ++i) ids.push_back(all[i].second);
    return ids;
  }
  [[nodiscard]] std::vector<FactId> found(LongTerm& store, const Filter& filter, size_t limit) const {
    Query q;
    q.vector = query_;
    q.filter = filter;
    q.limit = limit;
    std::vector<FactId> ids;
    const auto hits = store.search(q);
    EXPECT_TRUE(hits) << (hits ? "" : hits.error().text());
    // Their ages weigh, too: by the vector alone.
    auto sorted = hits.value_or(std::vector<Hit>());
    std::sort(sorted.begin(), sorted.end(), [](const Hit& a, const Hit& b) { return a.similarity > b.similarity; });
    for (const Hit& hit : sorted) ids.push_back(hit.fact.id);
    return ids;
  }

  static inline std::unique_ptr<PostgresStore> made;
  static inline std::vector<std::vector<float>> vectors;
  Random random_{6};
  std::vector<float> query_ = random_unit(random_, kDimensions);
};

TEST_F(PostgresSearch, AnAgentsFewFactsAreReadByItsIndexAndNoOthers) {
  Filter one;
  one.agent = "agent-7";
  const std::string done = plan(search(one, "third number7", true));
  EXPECT_TRUE(has(done, "skep_facts_agent")) << done;
  EXPECT_FALSE(has(done, "skep_facts_vector")) << done;
  EXPECT_FALSE(has(done, "Seq Scan on skep_facts")) << done;
  EXPECT_EQ(found(made->store(), one, 20), by_brute_force([](int i) { return i % kAgents == 7; }, 20));
}

TEST_F(PostgresSearch, WithoutAFilterTheGraphIsWalkedAndTheRarestWordsAreLookedUp) {
  const Filter all;
  const FactSearch asked = search(all, "all third number7 number8 number9", true);
  EXPECT_EQ(words(asked.words, 0, asked.words.rare), "number7 number8 number9");
  EXPECT_EQ(words(asked.words, asked.words.rare, asked.words.all.size()), "third all");
  EXPECT_EQ(asked.words.common, 0U);
  EXPECT_EQ(search(all, "all third number7", true).words.common, 1U) << "twenty facts are too few for 48";
  const std::string done = plan(asked);
  EXPECT_TRUE(has(done, "skep_facts_vector")) << done;
  EXPECT_TRUE(has(done, "skep_facts_words")) << done;
  EXPECT_FALSE(has(done, "Seq Scan on skep_facts")) << done;
}

TEST_F(PostgresSearch, ATagOrATimeAloneIsLookedUpInItsIndex) {
  Filter red;
  red.tags = {"red"};
  std::string done = plan(search(red, "", true));
  EXPECT_TRUE(has(done, "skep_facts_tags")) << done;
  EXPECT_FALSE(has(done, "Seq Scan on skep_facts")) << done;
  EXPECT_EQ(found(made->store(), red, 20), by_brute_force([](int i) { return i % 100 == 0; }, 20));
  Filter minute;
  minute.from = WallTime(std::chrono::seconds(3000));
  minute.to = WallTime(std::chrono::seconds(3060));
  done = plan(search(minute, "third", true));
  EXPECT_TRUE(has(done, "skep_facts_time")) << done;
  EXPECT_FALSE(has(done, "Seq Scan on skep_facts")) << done;
  EXPECT_EQ(found(made->store(), minute, 20), by_brute_force([](int i) { return i >= 3000 && i < 3060; }, 20));
}

TEST_F(PostgresSearch, WhereTheGraphIsLeftTooEarlyAllThatFitAreRead) {
  auto facts = PostgresFacts::open({server()->connection(made->database), {}, std::chrono::seconds(10), 0}).value();
  Filter one;
  one.agent = "agent-7";
  // The graph alone, and it has to find 400 among 200.
  const auto sorted = [](std::vector<FactId> ids) {
    std::sort(ids.begin(), ids.end());
    return ids;
  };
  const auto ids = sorted(found(*facts, one, 200));
  const auto nearest = by_brute_force([](int i) { return i % kAgents == 7; }, ids.size());
  EXPECT_EQ(ids, sorted(nearest));
  EXPECT_GT(ids.size(), 80U) << "half of them point the other way";
}

TEST_F(PostgresSearch, AStoreThatWasOpenedEmptyLearnsItsWordsWithTheFirstSearch) {
  PostgresStore own;
  PgConnection db(server()->connection(own.database));
  ASSERT_TRUE(
      db.run("INSERT INTO skep_facts (agent, text, source, tags, time, hash) SELECT 'a', 'all number' || i % 600, '', "
             "'{}', 0, i FROM generate_series(1, 12000) AS i; "));
  ASSERT_TRUE(db.run("ANALYZE skep_facts"));
  // A word that nothing is known of weighs as much as any: half of the sum. "all" is in every fact.
  Query q;
  q.text = "all number7";
  q.limit = 200;
  const auto least_score = [&] { return own.store().search(q)->back().score; };
  EXPECT_NEAR(least_score(), 0.5, 0.01);
  EXPECT_LT(least_score(), 0.01);
}

TEST_F(PostgresSearch, FindsWhatTheLocalStoreFinds) {
  store::TestingFolder folder;
  auto local = LocalFacts::open({.folder = folder.path()}).value();
  ASSERT_TRUE(local->use_embedder("e", kDimensions));
  std::vector<NewFact> facts;
  const std::vector<Fact> all_facts = made->store().list({}, 0, kFacts).value();
  for (const Fact& fact : all_facts) {
    NewFact one;
    one.agent = fact.agent, one.text = fact.text, one.tags = fact.tags, one.time = fact.time;
    one.vector = vectors[fact.id - 1];
    one.verbatim = true;
    facts.push_back(std::move(one));
  }
  ASSERT_TRUE(local->add(std::move(facts)));
  std::vector<Filter> filters(3);
  filters[1].agent = "agent-7";
  filters[2].agent = "agent-7";
  filters[2].tags = {"red"};
  for (const Filter& filter : filters) {
    for (const std::string text : {"number67", "third number67", "the third of number127 and number67"}) {
      Query q;
      q.text = text;
      q.filter = filter;
      q.limit = 200;
      const auto ids = [&](LongTerm& store) {
        std::vector<FactId> all;
        const std::vector<Hit> hits = store.search(q).value();
        for (const Hit& hit : hits) {
          if (hit.text_score > 0.5) all.push_back(hit.fact.id);  // the rest is what common words alone bring
        }
        std::sort(all.begin(), all.end());
        return all;
      };
      EXPECT_EQ(ids(made->store()), ids(*local)) << text;
    }
  }
}

}  // namespace
}  // namespace skep::memory
