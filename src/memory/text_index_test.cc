#include "memory/text_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/random.h"
#include "memory/words.h"

namespace skep::memory {
namespace {

using Ids = std::vector<FactId>;

Fact fact(FactId id, std::string agent, std::string text, std::vector<std::string> tags = {}) {
  return {id, std::move(agent), std::move(text), "", std::move(tags), {}};
}

Ids found(const TextIndex& index, std::string_view words, const Filter& filter = {}) {
  Ids ids;
  for (const auto& match : index.search(words, filter, 100)) ids.push_back(match.id);
  return ids;
}

// BM25 as the formula has it, over every fact.
std::vector<TextIndex::Match> by_formula(const std::map<FactId, Fact>& facts, std::string_view query,
                                         const Filter& filter, size_t limit) {
  double length = 0;
  std::map<std::string, double> with;
  for (const auto& [id, f] : facts) {
    const auto words = words_of(f.text);
    length += static_cast<double>(words.size());
    for (const std::string& word : std::set<std::string>(words.begin(), words.end())) ++with[word];
  }
  const auto all = static_cast<double>(facts.size());
  const auto asked = words_of(query);
  std::vector<TextIndex::Match> matches;
  for (const auto& [id, f] : facts) {
    const auto words = words_of(f.text);
    double score = 0;
    for (const std::string& word : std::set<std::string>(asked.begin(), asked.end())) {
      const auto count = static_cast<double>(std::count(words.begin(), words.end(), word));
      const double rare = std::log(1 + (all - with[word] + 0.5) / (with[word] + 0.5));
      const double discount = 0.25 + 0.75 * static_cast<double>(words.size()) / (length / all);
      score += rare * count * 2.2 / (count + 1.2 * discount);
    }
    if (score > 0 && filter.matches(f)) matches.push_back({id, score});
  }
  std::sort(matches.begin(), matches.end(), [](const auto& a, const auto& b) { return a.bm25 > b.bm25; });
  if (matches.size() > limit) matches.resize(limit);
  return matches;
}

// Words as languages have them: few are frequent, most are rare.
std::string zipf_text(Random& random, size_t words) {
  std::string text;
  for (size_t i = 0; i < words; ++i) {
    text += fmt::format("w{} ", static_cast<int>(std::exp(random.uniform() * std::log(400.0))));
  }
  return text;
}

TEST(TextIndex, FindsByWordsTheRarerOneFirst) {
  TextIndex index;
  index.add(fact(1, "a", "the pump runs"));
  index.add(fact(2, "a", "the valve runs hot"));
  index.add(fact(3, "a", "the pump runs, the fan runs"));
  EXPECT_EQ(found(index, "Valve runs").front(), 2U);
  EXPECT_EQ(found(index, "nothing"), Ids());
  EXPECT_EQ(found(index, ""), Ids());
  EXPECT_EQ(found(index, "valve"), Ids{2});
}

TEST(TextIndex, FiltersByAgentAndTags) {
  TextIndex index;
  index.add(fact(1, "ann", "pump", {"red"}));
  index.add(fact(2, "bob", "pump", {"blue", "red"}));
  index.add(fact(3, "", "pump", {"blue"}));
  Filter filter;
  filter.agent = "bob";
  filter.with_shared = false;
  EXPECT_EQ(found(index, "pump", filter), Ids{2});
  filter.with_shared = true;
  EXPECT_EQ(found(index, "pump", filter), (Ids{2, 3}));
  filter.tags = {"blue"};
  EXPECT_EQ(found(index, "pump", filter), (Ids{2, 3}));
  filter.tags = {"blue", "red"};
  EXPECT_EQ(found(index, "pump", filter), Ids{2});
  filter.tags = {"green"};
  EXPECT_EQ(found(index, "pump", filter), Ids());
  filter = {};
  filter.agent = "nobody";
  filter.with_shared = false;
  EXPECT_EQ(found(index, "pump", filter), Ids());
  EXPECT_TRUE(found(index, "bob").empty()) << "an agent's name is no text";
}

TEST(TextIndex, WhoeverAcceptsHasTheLastWord) {
  TextIndex index;
  for (FactId id = 1; id <= 50; ++id) index.add(fact(id, "a", "pump"));
  const auto odd = index.search("pump", {}, 3, [](FactId id) { return id % 2 == 1; });
  ASSERT_EQ(odd.size(), 3U);
  for (const auto& match : odd) EXPECT_EQ(match.id % 2, 1U);
}

// The bound of what skipping postings costs the ranking: nothing. Each place has the score that the formula gives it,
// through additions, erasures, filters and sweeps.
TEST(TextIndex, RanksAsTheFormulaDoesWhateverItLeavesOut) {
  Random random(3);
  TextIndex index;
  std::map<FactId, Fact> facts;
  FactId next = 1;
  for (int step = 0; step < 6000; ++step) {
    if (random.below(4) == 0 && !facts.empty()) {
      const auto gone = std::next(facts.begin(), random.below(static_cast<uint32_t>(facts.size())));
      index.erase(gone->second);
      facts.erase(gone);
    } else {
      Fact f = fact(next++, fmt::format("agent-{}", random.below(5)), zipf_text(random, 1 + random.below(25)));
      if (random.below(3) == 0) f.agent.clear();
      if (random.below(2) == 0) f.tags = {"red"};
      index.add(f);
      facts.emplace(f.id, std::move(f));
    }
    if (step % 1700 == 1600) index.sweep();
    if (step % 60 != 59) continue;
    Filter filter;
    if (random.below(2) == 0) filter.agent = fmt::format("agent-{}", random.below(5));
    if (random.below(3) == 0) filter.tags = {"red"};
    const std::string query = zipf_text(random, 1 + random.below(12));
    const size_t limit = 1 + random.below(20);
    const auto wanted = by_formula(facts, query, filter, limit);
    const auto got = index.search(query, filter, limit);
    ASSERT_EQ(got.size(), wanted.size()) << query;
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i].bm25, wanted[i].bm25, 1e-9) << query << " place " << i;
      ASSERT_TRUE(filter.matches(facts.at(got[i].id)));
    }
  }
  EXPECT_EQ(index.size(), facts.size());
}

TEST(TextIndex, AfterASweepErasedFactsTakeNoMemory) {
  TextIndex index;
  for (FactId id = 1; id <= 3000; ++id) index.add(fact(id, "a", fmt::format("pump number{}", id)));
  const Bytes full = index.memory();
  for (FactId id = 2; id <= 3000; ++id) index.erase(fact(id, "a", fmt::format("pump number{}", id)));
  index.sweep();
  EXPECT_LT(index.memory().count, full.count / 100);
  EXPECT_EQ(found(index, "pump number1 number2"), Ids{1});
}

}  // namespace
}  // namespace skep::memory
