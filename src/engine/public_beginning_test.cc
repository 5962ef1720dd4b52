#include "engine/public_beginning.h"

#include <gtest/gtest.h>

#include "engine/toy_vocabulary.h"

namespace skep::engine {
namespace {

constexpr int kNotPublic = 4;  // tokens at the end, with which what follows could grow together

int count(PublicBeginning& beginning, const ToyVocabulary& vocabulary, const Generate& request) {
  const bool chat = !request.messages.empty();
  const std::string text = chat ? vocabulary.render(request.messages).value() : request.prompt;
  return beginning.count(request, vocabulary.tokenize(text, chat || request.add_special, true).value());
}

TEST(PublicBeginning, IsWhatTheTemplateMakesOfThePublicTextButItsEnd) {
  const ToyVocabulary vocabulary;
  PublicBeginning beginning(vocabulary);
  Generate request;
  request.messages = {{"system", "the rules of the house, and what only I know"}, {"user", "hello"}};
  EXPECT_EQ(count(beginning, vocabulary, request), 0);
  request.public_bytes = 22;
  // <s>, <|im_start|>, "system\n", the text.
  EXPECT_EQ(count(beginning, vocabulary, request), 2 + 7 + 22 - kNotPublic);
  request.messages[0].content = "the rules of the house; another end";
  EXPECT_EQ(count(beginning, vocabulary, request), 2 + 7 + 22 - kNotPublic) << "the same, whatever follows";
}

TEST(PublicBeginning, OfARawPromptIsItsText) {
  const ToyVocabulary vocabulary;
  PublicBeginning beginning(vocabulary);
  Generate request;
  request.prompt = "the rules of the house, and mine";
  request.public_bytes = 22;
  EXPECT_EQ(count(beginning, vocabulary, request), 1 + 22 - kNotPublic);
  request.add_special = false;
  EXPECT_EQ(count(beginning, vocabulary, request), 22 - kNotPublic);
}

TEST(PublicBeginning, IsAllOrNothing) {
  const ToyVocabulary vocabulary;
  PublicBeginning beginning(vocabulary);
  Generate request;
  request.prompt = "the rules of the house, and mine";
  request.public_bytes = 22;
  auto tokens = vocabulary.tokenize(request.prompt, true, true).value();
  tokens[10] = 'X';  // what follows made a token of it another one
  EXPECT_EQ(beginning.count(request, tokens), 0) << "how far they agree tells of what follows";
}

TEST(PublicBeginning, TooShortOrTooLongIsNone) {
  const ToyVocabulary vocabulary;
  PublicBeginning beginning(vocabulary);
  Generate request;
  request.prompt = "abc";
  request.public_bytes = 3;
  EXPECT_EQ(count(beginning, vocabulary, request), 0);
  request.public_bytes = 4;
  EXPECT_EQ(count(beginning, vocabulary, request), 0);
}

}  // namespace
}  // namespace skep::engine
