#include "memory/similar_questions.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/simulated_event_loop.h"

namespace skep::memory {
namespace {

using cache::CacheKey;
using Match = cache::Similar::Match;

CacheKey key(uint8_t n, uint8_t m = 0) {
  CacheKey k{};
  k[0] = n;
  k[1] = m;
  return k;
}

// Texts "12.3": a direction by the number before the point, moved a little by the one after it.
struct DirectionSource final : EmbedderSource {
  explicit DirectionSource(EventLoop& l) : loop(l) {}
  Result<std::string> identity() override {
    if (name.empty()) return fail(ErrorCode::unavailable, "none");
    return name;
  }
  void embed(std::vector<std::string> texts,
             std::function<void(Result<std::vector<std::vector<float>>>)> done) override {
    std::vector<std::vector<float>> vectors;
    for (const std::string& text : texts) {
      Random random(std::stoull(text));
      std::vector<float> v(32);
      for (float& x : v) x = static_cast<float>(random.normal());
      const size_t point = text.find('.');
      if (point != text.npos) v[std::stoul(text.substr(point + 1)) % 32] += 1;
      vectors.push_back(v);
    }
    loop.post([done, vectors] { done(vectors); });
  }
  EventLoop& loop;
  std::string name = "m";
};

class SimilarQuestionsTest : public testing::Test {
 protected:
  void run() {
    do {
      loop.run_ready();
    } while (loop.advance_to_next_timer());
    loop.run_ready();
  }
  std::vector<Match> find(const CacheKey& scope, const std::string& question, double least = 0.9) {
    std::optional<std::vector<Match>> found;
    similar.find(scope, question, least, [&](std::vector<Match> m) { found = std::move(m); });
    EXPECT_FALSE(found) << "never from inside the call";
    run();
    return found.value();
  }
  static SimilarQuestionsOptions small() {
    SimilarQuestionsOptions options;
    options.entries = 200;
    options.index.exact_below = 20;
    return options;
  }

  SimulatedEventLoop loop;
  DirectionSource source{loop};
  Embedder embedder{loop, source};
  SimilarQuestions similar{loop, embedder, small()};
};

TEST_F(SimilarQuestionsTest, FindsWhatMeansTheSameInTheSameScope) {
  similar.add(key(1), "12.3", key(100), "ann");
  similar.add(key(1), "77.3", key(101), "ann");
  similar.add(key(2), "12.3", key(102), "ann");
  run();
  const auto found = find(key(1), "12.9");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].key, key(100));
  EXPECT_EQ(found[0].question, "12.3");
  EXPECT_GT(found[0].cosine, 0.9);
  EXPECT_TRUE(find(key(3), "12.3").empty());
  EXPECT_TRUE(find(key(1), "12.9", 0.9999).empty()) << "not near enough";
}

TEST_F(SimilarQuestionsTest, WhatIsForgottenOrAnsweredAnewIsNotFoundTwice) {
  similar.add(key(1), "12.3", key(100), "ann");
  run();
  similar.add(key(1), "12.4", key(100), "ann");
  run();
  ASSERT_EQ(find(key(1), "12.3").size(), 1U);
  EXPECT_EQ(find(key(1), "12.3")[0].question, "12.4");
  similar.forget(key(100));
  EXPECT_TRUE(find(key(1), "12.3").empty());
  EXPECT_EQ(similar.entries(), 0U);
}

TEST_F(SimilarQuestionsTest, AForgottenAgentsQuestionsAreNotFoundAndOthersAre) {
  similar.add(key(1), "12.3", key(100), "ann");
  similar.add(key(1), "12.35", key(101), "bob");
  run();
  similar.forget_agent("ann");
  EXPECT_EQ(similar.entries(), 1U);
  const auto left = find(key(1), "12.3");
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left.front().key, key(101));
}

TEST_F(SimilarQuestionsTest, TheOldestGoAtTheLimit) {
  for (int i = 0; i < 450; ++i) {
    similar.add(key(1), std::to_string(1000 + i), key(static_cast<uint8_t>(i % 256), static_cast<uint8_t>(i / 256)),
                "ann");
    if (i % 10 == 0) run();
  }
  run();
  EXPECT_LE(similar.entries(), 200U);
  EXPECT_GE(similar.entries(), 100U);
  EXPECT_TRUE(find(key(1), "1000", 0.99).empty());
  ASSERT_EQ(find(key(1), "1449", 0.99).size(), 1U);
  ASSERT_EQ(find(key(1), "1360", 0.99).size(), 1U) << "of the older generation";
}

TEST_F(SimilarQuestionsTest, TheOldestGoAtTheLimitOfBytesToo) {
  SimilarQuestionsOptions options = small();
  options.entries = 1'000'000;
  options.memory = 64_KiB;
  SimilarQuestions few(loop, embedder, options);
  for (int i = 0; i < 100; ++i) {
    few.add(key(1), std::to_string(1000 + i) + std::string(4000, ' '), key(static_cast<uint8_t>(i)), "ann");
    run();
    EXPECT_LE(few.memory(), 64_KiB);
  }
  EXPECT_GE(few.entries(), 6U);
  EXPECT_LE(few.entries(), 16U);
}

TEST_F(SimilarQuestionsTest, AnotherModelBeginsAnewAndNoModelFindsNothing) {
  similar.add(key(1), "12.3", key(100), "ann");
  run();
  source.name = "other";
  EXPECT_TRUE(find(key(1), "12.3").empty());
  EXPECT_EQ(similar.entries(), 0U);
  source.name.clear();
  similar.add(key(1), "12.3", key(100), "ann");
  EXPECT_TRUE(find(key(1), "12.3").empty());
}

}  // namespace
}  // namespace skep::memory
