#pragma once
// For tests: what every LongTerm must do. A store is a type with store(), the LongTerm, and reopen(), which ends it and
// opens it again on the same data.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "memory/fact.h"

namespace skep::memory {

inline std::vector<float> random_unit(Random& random, size_t dimensions) {
  std::vector<float> v(dimensions);
  double square = 0;
  for (float& x : v) {
    x = static_cast<float>(random.normal());
    square += double{x} * double{x};
  }
  for (float& x : v) x = static_cast<float>(double{x} / std::sqrt(square));
  return v;
}

template <typename Store>
class LongTermContract : public testing::Test {
 protected:
  static constexpr size_t kDimensions = 48;

  LongTerm& store() { return made_.store(); }
  void reopen() { made_.reopen(); }
  void use_embedder() { ASSERT_TRUE(store().use_embedder("embedder-1", kDimensions)); }
  std::vector<float> vector() { return random_unit(random_, kDimensions); }
  std::vector<float> near(const std::vector<float>& v, double noise) {
    std::vector<float> w = v;
    for (float& x : w) x += static_cast<float>(random_.normal() * noise / std::sqrt(static_cast<double>(kDimensions)));
    return w;
  }
  static NewFact fact(std::string agent, std::string text, std::vector<float> vector = {},
                      std::vector<std::string> tags = {}, int64_t day = 1000) {
    NewFact f;
    f.agent = std::move(agent);
    f.text = std::move(text);
    f.source = "test";
    f.tags = std::move(tags);
    f.time = WallTime(std::chrono::hours(24 * day));
    f.vector = std::move(vector);
    return f;
  }
  FactId add(NewFact f) {
    auto added = store().add({std::move(f)});
    EXPECT_TRUE(added) << (added ? "" : added.error().text());
    return added ? added->front().id : 0;
  }
  static std::vector<FactId> ids(const std::vector<Hit>& hits) {
    std::vector<FactId> all;
    for (const Hit& hit : hits) all.push_back(hit.fact.id);
    return all;
  }

  Random random_{11};
  Store made_;
};
TYPED_TEST_SUITE_P(LongTermContract);

TYPED_TEST_P(LongTermContract, AFactComesBackAsItWasAlsoAfterARestart) {
  this->use_embedder();
  const FactId id =
      this->add(this->fact("ann", "The pump's \"serial\" is \\n 0x1F\n ünïcode", this->vector(), {"b", "a", "b"}));
  for (int i = 0; i < 2; ++i) {
    const auto all = this->store().list({}, 0, 10);
    ASSERT_TRUE(all);
    ASSERT_EQ(all->size(), 1U);
    const Fact& f = all->front();
    EXPECT_EQ(f.id, id);
    EXPECT_EQ(f.agent, "ann");
    EXPECT_EQ(f.text, "The pump's \"serial\" is \\n 0x1F\n ünïcode");
    EXPECT_EQ(f.source, "test");
    EXPECT_EQ(f.tags, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(f.time, WallTime(std::chrono::hours(24 * 1000)));
    this->reopen();
  }
  EXPECT_GT(this->add(this->fact("ann", "another")), id) << "ids are never used twice";
}

TYPED_TEST_P(LongTermContract, SearchByVectorFindsTheNearest) {
  this->use_embedder();
  std::vector<std::vector<float>> vectors;
  std::vector<FactId> all;
  for (int i = 0; i < 300; ++i) {
    vectors.push_back(this->vector());
    all.push_back(this->add(this->fact(i % 2 == 0 ? "ann" : "bob", "remark " + std::to_string(i), vectors.back())));
    if (i % 5 == 0) this->store().work();
  }
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < 300; i += 17) {
      Query q;
      q.vector = this->near(vectors[i], 0.2);
      const auto hits = this->store().search(q);
      ASSERT_TRUE(hits);
      ASSERT_FALSE(hits->empty());
      EXPECT_EQ(hits->front().fact.id, all[i]);
      EXPECT_GT(hits->front().similarity, 0.95);
    }
    this->reopen();
  }
}

TYPED_TEST_P(LongTermContract, FiltersByAgentTagAndTime) {
  this->use_embedder();
  const auto v = this->vector();
  const FactId ann = this->add(this->fact("ann", "pump one", this->near(v, 0.9), {"red"}, 10));
  const FactId bob = this->add(this->fact("bob", "pump two", this->near(v, 0.9), {"red", "blue"}, 20));
  const FactId all = this->add(this->fact("", "pump three", this->near(v, 0.9), {"blue"}, 30));
  const auto found = [&](const Filter& filter, bool by_text) {
    Query q;
    if (by_text) q.text = "pump";
    if (!by_text) q.vector = v;
    q.filter = filter;
    auto hits = this->ids(this->store().search(q).value());
    std::sort(hits.begin(), hits.end());
    return hits;
  };
  using Ids = std::vector<FactId>;
  for (const bool by_text : {false, true}) {
    Filter f;
    EXPECT_EQ(found(f, by_text), (Ids{ann, bob, all}));
    f.agent = "bob";
    EXPECT_EQ(found(f, by_text), (Ids{bob, all}));
    f.with_shared = false;
    EXPECT_EQ(found(f, by_text), Ids{bob});
    f.tags = {"blue", "red"};
    EXPECT_EQ(found(f, by_text), Ids{bob});
    f.tags = {"green"};
    EXPECT_EQ(found(f, by_text), Ids());
    Filter days;
    days.from = WallTime(std::chrono::hours(24 * 15));
    EXPECT_EQ(found(days, by_text), (Ids{bob, all}));
    days.to = WallTime(std::chrono::hours(24 * 30));
    EXPECT_EQ(found(days, by_text), Ids{bob});
  }
  Filter f;
  f.agent = "ann";
  f.with_shared = false;
  EXPECT_EQ(this->store().list(f, 0, 10)->size(), 1U);
}

TYPED_TEST_P(LongTermContract, TextAndVectorTogetherBeatEither) {
  this->use_embedder();
  const auto v = this->vector();
  const FactId both = this->add(this->fact("a", "the turbine bearing was replaced", this->near(v, 0.5)));
  const FactId near = this->add(this->fact("a", "something of the same kind", this->near(v, 0.5)));
  const FactId words = this->add(this->fact("a", "turbine bearing invoice", this->vector()));
  for (int i = 0; i < 30; ++i) this->add(this->fact("a", "noise " + std::to_string(i), this->vector()));
  Query q;
  q.text = "when was the turbine bearing replaced";
  q.vector = v;
  q.limit = 3;
  const auto hits = this->store().search(q).value();
  ASSERT_EQ(hits.size(), 3U);
  EXPECT_EQ(hits[0].fact.id, both);
  EXPECT_TRUE(hits[1].fact.id == near || hits[1].fact.id == words);
  EXPECT_GT(hits[0].text_score, 0);
  EXPECT_GT(hits[0].similarity, 0.5);
  q.least_score = 2;
  EXPECT_TRUE(this->store().search(q)->empty());
}

TYPED_TEST_P(LongTermContract, OldFactsCountLess) {
  this->use_embedder();
  const auto v = this->vector();
  const auto same = this->near(v, 0.8);
  const FactId old = this->add(this->fact("a", "the price was 3", same, {}, 100));
  const FactId young = this->add(this->fact("a", "the price was 4", same, {}, 900));
  Query q;
  q.vector = v;
  q.now = WallTime(std::chrono::hours(24 * 900));
  EXPECT_EQ(this->ids(this->store().search(q).value()), (std::vector<FactId>{young, old}));
}

TYPED_TEST_P(LongTermContract, WhatIsSaidAgainIsOneFact) {
  this->use_embedder();
  const auto v = this->vector();
  const FactId id = this->add(this->fact("ann", "The sky is blue.", v, {"x"}, 10));
  auto again = this->store().add({this->fact("ann", "the  SKY is blue", this->vector(), {"y"}, 20)});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->front(), (Added{id, true})) << "word for word";
  again = this->store().add({this->fact("ann", "blue is the sky", this->near(v, 0.05), {}, 15)});
  EXPECT_EQ(again->front(), (Added{id, true})) << "by meaning";
  again = this->store().add({this->fact("ann", "the sky is not blue", this->near(v, 0.05))});
  EXPECT_FALSE(again->front().known) << "a negation is another fact";
  NewFact said = this->fact("dan", "blue is the sky", v);
  ASSERT_FALSE(this->store().add({said})->front().known);
  said.text = "the sky, it is blue";
  said.verbatim = true;
  EXPECT_FALSE(this->store().add({said})->front().known) << "two messages";
  EXPECT_TRUE(this->store().add({said})->front().known) << "word for word";
  ASSERT_TRUE(this->store().forget(Filter{.agent = "dan", .with_shared = false}));
  again = this->store().add({this->fact("bob", "the sky is blue", v)});
  EXPECT_FALSE(again->front().known) << "each agent has its own";
  again = this->store().add({this->fact("c", "one and the same"), this->fact("c", "One and the same!")});
  EXPECT_EQ((*again)[0].id, (*again)[1].id);
  EXPECT_TRUE((*again)[1].known);
  this->reopen();
  const auto all = this->store().list({}, 0, 10).value();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].time, WallTime(std::chrono::hours(24 * 20))) << "the last time it was said";
  EXPECT_EQ(all[0].tags, (std::vector<std::string>{"x", "y"}));
}

TYPED_TEST_P(LongTermContract, ForgettingTakesWhatItNamesAndNothingElse) {
  this->use_embedder();
  const auto v = this->vector();
  std::vector<FactId> of_ann, of_bob;
  for (int i = 0; i < 40; ++i) {
    of_ann.push_back(this->add(this->fact("ann", "ann's " + std::to_string(i), this->near(v, 1))));
    of_bob.push_back(this->add(this->fact("bob", "bob's " + std::to_string(i), this->near(v, 1))));
  }
  EXPECT_EQ(this->store().forget({of_ann[3], of_ann[3], 999'999}).value(), 1U);
  Filter ann;
  ann.agent = "ann";
  ann.with_shared = false;
  EXPECT_EQ(this->store().forget(ann).value(), 39U);
  EXPECT_EQ(this->store().forget(ann).value(), 0U);
  for (int i = 0; i < 2; ++i) {
    Query q;
    q.vector = v;
    q.limit = 100;
    auto hits = this->ids(this->store().search(q).value());
    std::sort(hits.begin(), hits.end());
    EXPECT_EQ(hits, of_bob);
    q.vector.clear();
    q.text = "ann";
    EXPECT_TRUE(this->store().search(q)->empty());
    EXPECT_EQ(this->store().statistics()->facts, 40U);
    this->reopen();
  }
}

TYPED_TEST_P(LongTermContract, WithoutAnEmbedderFullTextIsThereAndVectorsFollow) {
  const FactId id = this->add(this->fact("a", "the gasket leaks"));
  Query q;
  q.text = "gasket";
  EXPECT_EQ(this->ids(this->store().search(q).value()), std::vector<FactId>{id});
  EXPECT_FALSE(this->store().add({this->fact("a", "with a vector", this->vector())})) << "whose vector is that?";
  this->use_embedder();
  auto missing = this->store().without_vector(10, 0).value();
  ASSERT_EQ(missing.size(), 1U);
  const auto v = this->vector();
  ASSERT_TRUE(this->store().set_vectors({{id, v}, {777, v}}));
  EXPECT_TRUE(this->store().without_vector(10, 0)->empty());
  this->reopen();
  EXPECT_TRUE(this->store().without_vector(10, 0)->empty());
  q.text.clear();
  q.vector = v;
  EXPECT_EQ(this->ids(this->store().search(q).value()), std::vector<FactId>{id});
}

TYPED_TEST_P(LongTermContract, AnotherEmbeddersVectorsAreNotCompared) {
  this->use_embedder();
  const auto v = this->vector();
  const FactId id = this->add(this->fact("a", "the gasket leaks", v));
  ASSERT_TRUE(this->store().use_embedder("embedder-1", this->kDimensions)) << "the same again is no change";
  EXPECT_TRUE(this->store().without_vector(10, 0)->empty());
  ASSERT_TRUE(this->store().use_embedder("embedder-2", 16));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(this->store().without_vector(10, 0)->size(), 1U);
    Query q;
    q.vector = v;
    EXPECT_FALSE(this->store().search(q)) << "of another length";
    q.vector = random_unit(this->random_, 16);
    EXPECT_TRUE(this->store().search(q)->empty());
    this->reopen();
  }
  ASSERT_TRUE(this->store().set_vectors({{id, random_unit(this->random_, 16)}}));
  EXPECT_EQ(this->store().statistics()->dimensions, 16U);
}

TYPED_TEST_P(LongTermContract, ListsInPages) {
  for (int i = 0; i < 25; ++i) this->add(this->fact(i % 5 == 0 ? "" : "a", "fact " + std::to_string(i)));
  Filter f;
  f.agent = "a";
  std::vector<std::string> texts;
  FactId after = 0;
  for (;;) {
    const auto page = this->store().list(f, after, 7).value();
    if (page.empty()) break;
    for (const Fact& one : page) texts.push_back(one.text);
    after = page.back().id;
  }
  ASSERT_EQ(texts.size(), 25U);
  for (int i = 0; i < 25; ++i) EXPECT_EQ(texts[static_cast<size_t>(i)], "fact " + std::to_string(i));
}

TYPED_TEST_P(LongTermContract, BadFactsAreRefusedAsAWhole) {
  this->use_embedder();
  const auto refused = [&](NewFact bad) {
    const auto before = this->store().statistics()->facts;
    EXPECT_FALSE(this->store().add({this->fact("a", "good one"), std::move(bad)}));
    EXPECT_EQ(this->store().statistics()->facts, before);
  };
  refused(this->fact("a", " \n "));
  refused(this->fact("a", std::string(kMostFactText + 1, 'x')));
  refused(this->fact(std::string(kMostName + 1, 'x'), "text"));
  refused(this->fact("a", "text", {}, {""}));
  refused(this->fact("a", "text", std::vector<float>(this->kDimensions + 1, 1.0F)));
  refused(this->fact("a", "text", std::vector<float>(this->kDimensions, NAN)));
}

TYPED_TEST_P(LongTermContract, RenewalsOfOneBatchAddUp) {
  const FactId id = this->add(this->fact("a", "the pump runs", {}, {"old"}, 10));
  const auto added = this->store().add(
      {this->fact("a", "The pump runs.", {}, {"one"}, 30), this->fact("a", "the  pump runs", {}, {"two"}, 20)});
  ASSERT_TRUE(added);
  for (const Added& one : *added) EXPECT_EQ(one, (Added{id, true}));
  const auto all = this->store().list({}, 0, 10).value();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].tags, (std::vector<std::string>{"old", "one", "two"}));
  EXPECT_EQ(all[0].time, WallTime(std::chrono::hours(24 * 30)));
}

TYPED_TEST_P(LongTermContract, FactsWithoutAVectorAreListedInPages) {
  std::vector<FactId> expected;
  for (int i = 0; i < 5; ++i) expected.push_back(this->add(this->fact("a", "fact " + std::to_string(i))));
  std::vector<FactId> seen;
  for (FactId after = 0;;) {
    const auto page = this->store().without_vector(2, after).value();
    if (page.empty()) break;
    for (const Fact& fact : page) seen.push_back(fact.id);
    after = seen.back();
  }
  EXPECT_EQ(seen, expected);
}

REGISTER_TYPED_TEST_SUITE_P(LongTermContract, AFactComesBackAsItWasAlsoAfterARestart, SearchByVectorFindsTheNearest,
                            FiltersByAgentTagAndTime, TextAndVectorTogetherBeatEither, OldFactsCountLess,
                            WhatIsSaidAgainIsOneFact, ForgettingTakesWhatItNamesAndNothingElse,
                            WithoutAnEmbedderFullTextIsThereAndVectorsFollow, AnotherEmbeddersVectorsAreNotCompared,
                            RenewalsOfOneBatchAddUp, FactsWithoutAVectorAreListedInPages, ListsInPages,
                            BadFactsAreRefusedAsAWhole);

}  // namespace skep::memory
