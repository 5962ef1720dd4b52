#include "memory/vector_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/random.h"

namespace skep::memory {
namespace {

using Floats = std::vector<float>;

Floats random_vector(Random& random, size_t dimensions) {
  Floats v(dimensions);
  for (float& x : v) x = static_cast<float>(random.normal());
  return v;
}

// Texts of some topics: a topic's centre and noise around it.
class Clusters {
 public:
  Clusters(uint64_t seed, size_t dimensions, size_t count) : random_(seed) {
    for (size_t i = 0; i < count; ++i) centres_.push_back(random_vector(random_, dimensions));
  }
  Floats next() {
    Floats v = centres_[random_.below(static_cast<uint32_t>(centres_.size()))];
    for (float& x : v) x += static_cast<float>(random_.normal()) * 0.6F;
    return v;
  }

 private:
  Random random_;
  std::vector<Floats> centres_;
};

double exact_cosine(const Floats& a, const Floats& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * double{b[i]};
    aa += double{a[i]} * double{a[i]};
    bb += double{b[i]} * double{b[i]};
  }
  return ab / std::sqrt(aa * bb);
}

TEST(Quantized, CosinesAreOffByLessThanAHundredth) {
  Random random(1);
  for (const size_t dimensions : {1, 3, 32, 64, 384, 768}) {
    for (int i = 0; i < 200; ++i) {
      const Floats a = random_vector(random, dimensions);
      Floats b = random_vector(random, dimensions);
      for (size_t k = 0; k < dimensions; ++k) b[k] += a[k] * static_cast<float>(random.uniform(-2, 2));
      EXPECT_NEAR(cosine(quantize(a), quantize(b)), exact_cosine(a, b), 0.01);
    }
  }
}

TEST(Quantized, TheZeroVectorAndTinyOnesAreNoTrouble) {
  const Floats zero(384, 0.0F);
  EXPECT_EQ(quantize(zero).inverse_norm, 0);
  EXPECT_EQ(cosine(quantize(zero), quantize(zero)), 0);
  Floats tiny(384, 1e-40F);
  EXPECT_NEAR(cosine(quantize(tiny), quantize(Floats(384, 1.0F))), 1, 1e-6);
}

TEST(VectorIndex, FindsWhatABruteForceSearchOfTheFloatsFinds) {
  constexpr size_t kDimensions = 96, kCount = 6000, kQueries = 200;
  Clusters clusters(2, kDimensions, 50);
  VectorIndexOptions options;
  options.tail = 500;  // most of it in the graph
  VectorIndex index(kDimensions, options);
  std::vector<Floats> all;
  for (size_t i = 0; i < kCount; ++i) {
    all.push_back(clusters.next());
    index.add(i, quantize(all.back()));
  }
  while (index.index_some(1000)) {
  }
  EXPECT_EQ(index.unindexed(), 0U);
  EXPECT_EQ(index.size(), kCount);
  int right = 0, among_ten = 0;
  for (size_t q = 0; q < kQueries; ++q) {
    const Floats query = clusters.next();
    size_t best = 0;
    for (size_t i = 1; i < kCount; ++i) {
      if (exact_cosine(query, all[i]) > exact_cosine(query, all[best])) best = i;
    }
    const auto found = index.search(quantize(query), 10);
    ASSERT_EQ(found.size(), 10U);
    right += found[0].id == best;
    among_ten += std::any_of(found.begin(), found.end(), [&](const auto& n) { return n.id == best; });
    EXPECT_TRUE(std::is_sorted(found.begin(), found.end(),
                               [](const auto& a, const auto& b) { return a.similarity > b.similarity; }));
  }
  EXPECT_GE(right, kQueries * 95 / 100);
  EXPECT_GE(among_ten, kQueries * 99 / 100);
}

TEST(VectorIndex, WhatWasJustAddedIsFoundBeforeItIsIndexed) {
  Random random(3);
  VectorIndex index(64);
  for (uint64_t id = 0; id < 3000; ++id) {
    const Floats v = random_vector(random, 64);
    index.add(id, quantize(v));
    const auto found = index.search(quantize(v), 1);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].id, id);
    EXPECT_NEAR(found[0].similarity, 1, 1e-5);
    if (id % 3 == 0) index.index_some(1);
  }
}

TEST(VectorIndex, SmallCollectionsGetNoGraph) {
  Random random(4);
  VectorIndexOptions options;
  options.exact_below = 100;
  VectorIndex index(32, options);
  for (uint64_t id = 0; id < 100; ++id) index.add(id, quantize(random_vector(random, 32)));
  EXPECT_FALSE(index.index_some(1000));
  EXPECT_EQ(index.unindexed(), 100U);
  index.add(100, quantize(random_vector(random, 32)));
  EXPECT_TRUE(index.index_some(1));
  EXPECT_FALSE(index.index_some(1000));
  EXPECT_EQ(index.unindexed(), 0U);
}

TEST(VectorIndex, TheTailIsBounded) {
  Random random(5);
  VectorIndexOptions options;
  options.tail = 200;
  VectorIndex index(32, options);
  for (uint64_t id = 0; id < 2000; ++id) {
    index.add(id, quantize(random_vector(random, 32)));
    EXPECT_LE(index.unindexed(), 200U);
  }
}

// The bytes of a vector nowhere in what would be saved, although erased nodes borrow their neighbours' bytes.
TEST(VectorIndex, AnErasedVectorIsFoundNoMoreAndLeavesNoBytes) {
  Random random(6);
  VectorIndexOptions options;
  options.exact_below = 0;
  VectorIndex index(64, options);
  std::vector<QuantizedVector> all;
  for (uint64_t id = 0; id < 800; ++id) {
    all.push_back(quantize(random_vector(random, 64)));
    index.add(id, all.back());
  }
  while (index.index_some(1000)) {
  }
  std::set<uint64_t> gone;
  for (int i = 0; i < 600; ++i) {
    const uint64_t id = random.below(800);
    index.erase(id);
    gone.insert(id);
  }
  EXPECT_EQ(index.size(), 800 - gone.size());
  const std::string saved = index.save();
  for (uint64_t id = 0; id < 800; ++id) {
    const std::string_view bytes(reinterpret_cast<const char*>(all[id].bytes.data()), all[id].bytes.size());
    EXPECT_EQ(saved.find(bytes) == saved.npos, gone.contains(id)) << id;
    const auto found = index.search(all[id], 1);
    ASSERT_EQ(found.size(), 1U);
    if (gone.contains(id)) {
      EXPECT_FALSE(gone.contains(found[0].id));
    } else {
      EXPECT_EQ(found[0].id, id);
    }
  }
  for (uint64_t id = 0; id < 800; ++id) index.erase(id);
  EXPECT_TRUE(index.search(all[0], 5).empty());
  EXPECT_EQ(index.size(), 0U);
}

TEST(VectorIndex, ASavedGraphAnswersAsBefore) {
  Random random(7);
  VectorIndexOptions options;
  options.exact_below = 0;
  VectorIndex index(40, options);
  for (uint64_t id = 1; id <= 1500; ++id) index.add(id * 7, quantize(random_vector(random, 40)));
  while (index.index_some(1000)) {
  }
  for (uint64_t id = 1; id <= 300; ++id) index.erase(id * 7 * 3);
  VectorIndex again(40, options);
  ASSERT_TRUE(again.load(index.save()));
  EXPECT_EQ(again.size(), index.size());
  EXPECT_EQ(again.erased(), index.erased());
  for (int i = 0; i < 100; ++i) {
    const auto query = quantize(random_vector(random, 40));
    const auto a = index.search(query, 5), b = again.search(query, 5);
    ASSERT_EQ(a.size(), b.size());
    for (size_t k = 0; k < a.size(); ++k) EXPECT_EQ(a[k].id, b[k].id);
  }
  // It goes on from there, erasing included.
  for (uint64_t id = 20'000; id < 20'500; ++id) again.add(id, quantize(random_vector(random, 40)));
  while (again.index_some(1000)) {
  }
  again.erase(7);
  EXPECT_EQ(again.size(), index.size() + 499);
}

TEST(VectorIndex, DamagedGraphsAreRefused) {
  Random random(8);
  VectorIndexOptions options;
  options.exact_below = 0;
  VectorIndex index(32, options);
  for (uint64_t id = 0; id < 200; ++id) index.add(id, quantize(random_vector(random, 32)));
  while (index.index_some(1000)) {
  }
  const std::string good = index.save();
  for (size_t cut = 0; cut < good.size(); cut += 97) {
    VectorIndex other(32, options);
    EXPECT_FALSE(other.load(std::string_view(good).substr(0, cut))) << cut;
  }
  VectorIndex longer(64, options);
  EXPECT_FALSE(longer.load(good));
  // Any damage is either refused or harmless to search.
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good;
    bad[random.below(static_cast<uint32_t>(bad.size()))] ^= static_cast<char>(1U << random.below(8));
    VectorIndex other(32, options);
    if (other.load(bad)) static_cast<void>(other.search(quantize(random_vector(random, 32)), 10));
  }
}

TEST(VectorIndex, AFilterBySearchingAmongIdsIsExact) {
  Random random(9);
  VectorIndex index(48);
  std::vector<QuantizedVector> all;
  for (uint64_t id = 0; id < 2000; ++id) {
    all.push_back(quantize(random_vector(random, 48)));
    index.add(id, all.back());
  }
  index.index_some(700);
  std::vector<uint64_t> ids = {5, 17, 640, 1999, 1200, 99'999};
  const auto query = quantize(random_vector(random, 48));
  const auto found = index.search_among(ids, query, 3);
  ids.pop_back();
  std::sort(ids.begin(), ids.end(), [&](auto a, auto b) { return cosine(all[a], query) > cosine(all[b], query); });
  ASSERT_EQ(found.size(), 3U);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(found[i].id, ids[i]);
}

}  // namespace
}  // namespace skep::memory
