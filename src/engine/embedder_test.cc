#include "engine/embedder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/toy_forward.h"
#include "engine/toy_vocabulary.h"

namespace skep::engine {
namespace {

using ::testing::HasSubstr;

class EmbedderTest : public ::testing::Test {
 protected:
  static ToyOptions options() {
    ToyOptions toy;
    toy.sequences = 2;
    toy.batch_tokens = 8;
    return toy;
  }
  int work() {
    int steps = 0;
    while (embedder_.step()) ++steps;
    return steps;
  }
  const Error& error_of(RequestId id) { return std::get<Failed>(answers_.at(id)).error; }

  ToyForward forward_{options()};
  ToyVocabulary vocabulary_;
  std::map<RequestId, Message> answers_;
  Embedder embedder_{forward_, vocabulary_, [this](RequestId id, Message message) {
                       EXPECT_TRUE(answers_.emplace(id, std::move(message)).second) << "answered twice";
                     }};
};

TEST_F(EmbedderTest, ALongListIsWorkedOnBatchByBatch) {
  embedder_.start(1, Embed{{"a", "b", "c", "d", "e"}, {}});
  EXPECT_GT(embedder_.next_tokens(), 0);
  EXPECT_EQ(work(), 3);  // two sequences at once
  const auto& answer = std::get<Embeddings>(answers_.at(1));
  EXPECT_EQ(answer.vectors.size(), 5U);
  EXPECT_EQ(answer.truncated, 0);
  EXPECT_EQ(embedder_.next_tokens(), 0);
}

TEST_F(EmbedderTest, VectorsDoNotDependOnTheBatch) {
  embedder_.start(1, Embed{{"a", "b", "c"}, {}});
  embedder_.start(2, Embed{{"c"}, {}});
  work();
  EXPECT_EQ(std::get<Embeddings>(answers_.at(1)).vectors[2], std::get<Embeddings>(answers_.at(2)).vectors[0]);
}

TEST_F(EmbedderTest, WhatIsCancelledBetweenTwoStepsIsNotAnswered) {
  embedder_.start(1, Embed{{"a", "b", "c", "d", "e"}, {}});
  embedder_.start(2, Embed{{"x"}, {}});
  embedder_.step();
  embedder_.cancel(1);
  embedder_.cancel(7);
  EXPECT_EQ(work(), 1);
  EXPECT_FALSE(answers_.contains(1));
  EXPECT_EQ(std::get<Embeddings>(answers_.at(2)).vectors.size(), 1U);
}

TEST_F(EmbedderTest, AnInputThatIsTooLongIsAnErrorWithNumbersUnlessItMayBeCut) {
  const Embed request{{"fits", "far too long for it"}, {}};
  embedder_.start(1, request);
  EXPECT_EQ(error_of(1).code, ErrorCode::context_overflow);
  EXPECT_THAT(error_of(1).message, AllOf(HasSubstr("input 1 has 20 tokens"), HasSubstr("takes 8")));

  Embed cut = request;
  cut.truncate = true;
  embedder_.start(2, cut);
  embedder_.start(3, Embed{{"far too"}, {}});  // with the mark at the beginning, the same eight tokens
  work();
  const auto& answer = std::get<Embeddings>(answers_.at(2));
  EXPECT_EQ(answer.truncated, 1);
  EXPECT_EQ(answer.vectors[1], std::get<Embeddings>(answers_.at(3)).vectors[0]);
}

TEST_F(EmbedderTest, WhatIsNoRequestIsRefused) {
  embedder_.start(1, Embed{{}, {{99999}}});
  EXPECT_EQ(error_of(1).code, ErrorCode::invalid_argument);
  embedder_.start(2, Embed{std::vector<std::string>(Embedder::kMostInputs + 1), {}});
  EXPECT_EQ(error_of(2).code, ErrorCode::invalid_argument);
  for (RequestId id = 10; id < 10 + Embedder::kMostWaiting; ++id) embedder_.start(id, Embed{{"a"}, {}});
  embedder_.start(3, Embed{{"a"}, {}});
  EXPECT_EQ(error_of(3).code, ErrorCode::overloaded);
  embedder_.start(4, Embed{});
  EXPECT_EQ(error_of(4).code, ErrorCode::overloaded);
}

}  // namespace
}  // namespace skep::engine
