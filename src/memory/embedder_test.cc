#include "memory/embedder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/simulated_event_loop.h"

namespace skep::memory {
namespace {

using std::chrono::milliseconds;

struct FakeSource final : EmbedderSource {
  explicit FakeSource(EventLoop& l) : loop(l) {}
  Result<std::string> identity() override {
    if (name.empty()) return fail(ErrorCode::unavailable, "no embedding model");
    return name;
  }
  void embed(std::vector<std::string> texts,
             std::function<void(Result<std::vector<std::vector<float>>>)> done) override {
    batches.push_back(texts);
    loop.after(milliseconds(10), [this, texts, done] {
      if (broken) return done(fail(ErrorCode::unavailable, "the engine died"));
      if (std::find(texts.begin(), texts.end(), "too long") != texts.end()) {
        return done(fail(ErrorCode::context_overflow, "an input is too long"));
      }
      std::vector<std::vector<float>> vectors;
      for (const std::string& text : texts) vectors.push_back({static_cast<float>(text.size()), 1});
      done(vectors);
    });
  }
  EventLoop& loop;
  std::string name = "model-1";
  bool broken = false;
  std::vector<std::vector<std::string>> batches;
};

class EmbedderTest : public testing::Test {
 protected:
  void run() {
    do {
      loop.run_ready();
    } while (loop.advance_to_next_timer());
    loop.run_ready();
  }
  void ask(const std::string& text) {
    embedder.embed(text, [this, text](Result<Vector> v) {
      v ? answers.push_back(text + "=" + std::to_string(static_cast<int>((**v)[0]))) : answers.push_back("!" + text);
    });
  }
  using Texts = std::vector<std::string>;

  SimulatedEventLoop loop;
  FakeSource source{loop};
  Embedder embedder{loop, source};
  Texts answers;
};

TEST_F(EmbedderTest, WhatIsAskedTogetherGoesInOneBatch) {
  for (const char* text : {"a", "bb", "ccc"}) ask(text);
  EXPECT_TRUE(source.batches.empty());
  run();
  EXPECT_EQ(source.batches, (std::vector<Texts>{{"a", "bb", "ccc"}}));
  EXPECT_EQ(answers, (Texts{"a=1", "bb=2", "ccc=3"}));
}

TEST_F(EmbedderTest, AFullBatchWaitsForNobodyAndTheRestGoesWhenTheEngineIsFree) {
  for (int i = 0; i < 150; ++i) ask("text " + std::to_string(i));
  ASSERT_EQ(source.batches.size(), 1U);
  EXPECT_EQ(source.batches[0].size(), 64U);
  run();
  ASSERT_EQ(source.batches.size(), 3U);
  EXPECT_EQ(source.batches[1].size(), 64U);
  EXPECT_EQ(source.batches[2].size(), 22U);
  EXPECT_EQ(answers.size(), 150U);
}

TEST_F(EmbedderTest, TheSameTextIsAskedForOnce) {
  ask("a");
  ask("a");
  loop.advance(milliseconds(5));
  ask("a");  // on its way
  run();
  ask("a");  // remembered
  run();
  EXPECT_EQ(source.batches, (std::vector<Texts>{{"a"}}));
  EXPECT_EQ(answers, (Texts{"a=1", "a=1", "a=1", "a=1"}));
  EXPECT_NE(embedder.remembered("a"), nullptr);
  EXPECT_EQ(embedder.counters().joined, 2);
  EXPECT_EQ(embedder.counters().remembered, 1);
}

TEST_F(EmbedderTest, VectorsOfAnotherModelAreNotRemembered) {
  ask("a");
  run();
  source.name = "model-2";
  EXPECT_EQ(embedder.remembered("a"), nullptr);
  ask("a");
  run();
  EXPECT_EQ(source.batches.size(), 2U);
}

TEST_F(EmbedderTest, AFailureIsToldToEveryWaiterAndNotRemembered) {
  source.broken = true;
  ask("a");
  ask("b");
  run();
  EXPECT_EQ(answers, (Texts{"!a", "!b"}));
  source.broken = false;
  ask("a");
  run();
  EXPECT_EQ(answers.back(), "a=1");
}

TEST_F(EmbedderTest, WithoutAModelItSaysSo) {
  source.name.clear();
  ask("a");
  EXPECT_TRUE(answers.empty()) << "never from inside the call";
  run();
  EXPECT_EQ(answers, Texts{"!a"});
  EXPECT_EQ(embedder.identity().error().code, ErrorCode::unavailable);
}

TEST_F(EmbedderTest, RemembersNoMoreThanItsBytes) {
  EmbedderOptions options;
  options.remembered = Bytes(10 * 168);
  Embedder small(loop, source, options);
  for (int i = 0; i < 50; ++i) {
    small.embed("text " + std::to_string(i), [](const Result<Vector>&) {});
    run();
  }
  EXPECT_EQ(small.remembered("text 0"), nullptr);
  EXPECT_NE(small.remembered("text 49"), nullptr);
  EXPECT_NE(small.remembered("text 41"), nullptr);
}

TEST_F(EmbedderTest, ManyAreAnsweredInOrderEachForItself) {
  std::vector<size_t> lengths;
  embedder.embed_each({"a", "bbb", "a"}, [&](const std::vector<Result<Vector>>& all) {
    for (const auto& v : all) lengths.push_back(static_cast<size_t>((**v)[0]));
  });
  run();
  EXPECT_EQ(lengths, (std::vector<size_t>{1, 3, 1}));
  source.broken = true;
  std::string known;
  embedder.embed_each({"a", "new"}, [&](const std::vector<Result<Vector>>& all) {
    for (const auto& v : all) known += v ? "+" : "-";
  });
  run();
  EXPECT_EQ(known, "+-");
}

TEST_F(EmbedderTest, ATextThatTheModelCannotTakeCostsTheOthersOfItsBatchNothing) {
  for (int i = 0; i < 40; ++i) ask(i == 27 ? "too long" : std::string(static_cast<size_t>(i) + 1, 'x'));
  run();
  ASSERT_EQ(answers.size(), 40U);
  EXPECT_EQ(std::count(answers.begin(), answers.end(), "!too long"), 1);
  EXPECT_EQ(std::count_if(answers.begin(), answers.end(), [](const std::string& a) { return a[0] == '!'; }), 1);
  EXPECT_LE(source.batches.size(), 14U) << "halved, not sent one by one";
}

TEST_F(EmbedderTest, WhoeverWaitsWhenItEndsHearsNothing) {
  bool heard = false;
  {
    Embedder brief(loop, source);
    brief.embed("a", [&](const Result<Vector>&) { heard = true; });
    loop.advance(milliseconds(5));
  }
  run();
  EXPECT_FALSE(heard);
}

}  // namespace
}  // namespace skep::memory
