#include "engine/llama_forward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "base/random.h"
#include "engine/llama_vocabulary.h"
#include "engine/test_model.h"

namespace skep::engine {
namespace {

using ::testing::HasSubstr;

LoadOptions options_for(const TestModel& model = {}) {
  LoadOptions options;
  options.path = write_test_model(model);
  options.context_tokens = 512;
  options.sequences = 4;
  options.batch_tokens = 128;
  options.threads = 1;
  return options;
}

std::unique_ptr<LlamaModel> load(const LoadOptions& options = options_for()) {
  auto model = LlamaModel::load(options, {});
  EXPECT_TRUE(model) << (model ? "" : model.error().text());
  return std::move(*model);
}

std::vector<Token> tokens(int count, uint64_t seed = 1) {
  Random random(seed);
  std::vector<Token> out;
  for (int i = 0; i < count; ++i) out.push_back(300 + static_cast<Token>(random.below(200)));
  return out;
}

std::vector<float> evaluate(LlamaForward& forward, SequenceId id, int position, std::span<const Token> text) {
  const Slice slice{id, position, text, 1};
  const auto done = forward.step({&slice, 1});
  EXPECT_TRUE(done) << (done ? "" : done.error().message);
  const auto row = forward.logits(0);
  return {row.begin(), row.end()};
}

float distance(const std::vector<float>& a, const std::vector<float>& b) {
  float most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

float spread(const std::vector<float>& a) {
  const auto [low, high] = std::minmax_element(a.begin(), a.end());
  return *high - *low;
}

TEST(LlamaForward, SharedCellsGiveTheLogitsOfOwnOnes) {
  auto model = load();
  LlamaForward forward(*model);
  ASSERT_TRUE(forward.limits().can_share);
  const auto text = tokens(60);
  evaluate(forward, 0, 0, std::span(text).first(40));
  const auto alone = evaluate(forward, 0, 40, std::span(text).subspan(40));
  forward.share(0, 7, 0, 40);
  const auto shared = evaluate(forward, 7, 40, std::span(text).subspan(40));
  EXPECT_LE(distance(alone, shared), 1e-3F * spread(alone));
  const auto other = tokens(20, 9);
  EXPECT_GT(distance(alone, evaluate(forward, 7, 60, other)), 0.1F) << "the comparison can fail";
}

TEST(LlamaForward, SavedCellsComeBackBitForBit) {
  auto model = load();
  LlamaForward forward(*model);
  const auto text = tokens(50);
  evaluate(forward, 0, 0, text);
  const auto bytes = forward.save(0, 20, 50);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_EQ(*forward.save(0, 20, 50), *bytes);
  forward.drop(0, 20, Forward::kEnd);
  ASSERT_TRUE(forward.load(0, 20, 50, *bytes));
  EXPECT_EQ(*forward.save(0, 20, 50), *bytes);
  const Token next[] = {333};
  const auto after = evaluate(forward, 0, 50, next);
  forward.drop(0, 50, Forward::kEnd);
  EXPECT_EQ(evaluate(forward, 0, 50, next), after);
}

TEST(LlamaForward, WrongBytesAreRefusedAndLeaveTheCacheAsItWas) {
  auto model = load();
  LlamaForward forward(*model);
  const auto text = tokens(30);
  evaluate(forward, 0, 0, text);
  const auto bytes = forward.save(0, 0, 30).value();
  EXPECT_FALSE(forward.load(3, 0, 29, bytes));
  EXPECT_FALSE(forward.load(3, 5, 35, bytes));
  EXPECT_FALSE(forward.load(3, 0, 30, bytes.substr(0, bytes.size() / 2)));
  EXPECT_FALSE(forward.load(3, 0, 30, "nonsense"));
  EXPECT_TRUE(forward.load(3, 0, 30, bytes)) << "the id is still empty";
}

TEST(LlamaForward, ACancelledStepLeavesTheCacheAsItWas) {
  auto model = load();
  LlamaForward forward(*model);
  const auto text = tokens(20);
  evaluate(forward, 0, 0, text);
  const auto before = forward.save(0, 0, 20).value();
  forward.cancel();
  const auto more = tokens(5);
  const Slice slice{0, 20, more, 1};
  EXPECT_EQ(forward.step({&slice, 1}).error().code, ErrorCode::cancelled);
  EXPECT_EQ(forward.save(0, 0, 20).value(), before);
  EXPECT_TRUE(forward.step({&slice, 1}));
}

TEST(LlamaForward, TheSizesKnownBeforeLoadingAreTheSizesAfter) {
  LoadOptions options = options_for();
  auto real = load(options);
  options.measure_only = true;
  auto measured = load(options);
  ASSERT_EQ(measured->loaded().memory.size(), real->loaded().memory.size());
  const MemoryUse& before = measured->loaded().memory[0];
  const MemoryUse& after = real->loaded().memory[0];
  EXPECT_EQ(before.weights, after.weights);
  EXPECT_EQ(before.kv, after.kv);
  EXPECT_EQ(before.compute, after.compute);
  EXPECT_GT(after.weights, 100_KiB);
  // 2 layers × (K and V) × 2 heads of 16 values of 2 bytes, for 4 × 512 cells.
  EXPECT_EQ(after.kv, Bytes(2 * 2 * 2 * 16 * 2 * 2048));
}

TEST(LlamaModel, FilesThatAreNoModelAreErrorsWithTheReason) {
  LoadOptions options = options_for();
  EXPECT_EQ(LlamaModel::load({.path = "/nowhere.gguf"}, {}).error().code, ErrorCode::not_found);
  const auto broken = std::filesystem::temp_directory_path() / "skep-broken.gguf";
  std::ofstream(broken) << "GGUF but not really";
  const auto refused = LlamaModel::load({.path = broken}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
  EXPECT_GT(refused.error().message.size(), broken.string().size() + 30)
      << "libllama's own words: " << refused.error().message;
  options.kv_type = "q3";
  EXPECT_THAT(LlamaModel::load(options, {}).error().message, HasSubstr("q3"));
  EXPECT_EQ(LlamaModel::load(options_for(), [](float) { return false; }).error().code, ErrorCode::cancelled);
}

TEST(LlamaModel, TheContextIsClampedToWhatTheModelWasTrainedFor) {
  LoadOptions options = options_for();
  options.context_tokens = 100000;
  EXPECT_EQ(load(options)->loaded().context_tokens, 1024);
}

TEST(LlamaVocabulary, TokensSpellTheTextAgain) {
  auto model = load();
  auto vocabulary = LlamaVocabulary::make(*model).value();
  const std::string text = "some words, d\xC3\xA9j\xC3\xA0 vu \xF0\x9F\xA6\x99";
  std::string spelled;
  const auto all = vocabulary->tokenize(text, false, false).value();
  for (const Token t : all) spelled += vocabulary->piece(t);
  EXPECT_EQ(spelled, " " + text) << "this tokenizer puts a space before";
  EXPECT_EQ(vocabulary->tokenize("x", true, false).value().front(), 1);
  EXPECT_TRUE(vocabulary->ends_generation(2));
  EXPECT_TRUE(vocabulary->ends_generation(4));
  EXPECT_TRUE(vocabulary->is_control(3));
}

TEST(LlamaVocabulary, TheTemplateOfTheModelIsUsedAndAnUnknownOneNamesTheWayOut) {
  auto model = load();
  const auto vocabulary = LlamaVocabulary::make(*model).value();
  const ChatMessage messages[] = {{"system", "s"}, {"user", "u"}};
  EXPECT_EQ(vocabulary->render(messages).value(),
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(vocabulary->template_name(), "own");

  TestModel strange;
  strange.template_text = "{{ something never seen }}";
  LoadOptions options = options_for(strange);
  const auto refused = LlamaVocabulary::make(*load(options));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_THAT(refused.error().hint, HasSubstr("chat_template"));
  EXPECT_THAT(refused.error().hint, HasSubstr("chatml"));
  options.chat_template = "chatml";
  auto overridden = load(options);
  EXPECT_EQ(LlamaVocabulary::make(*overridden).value()->template_name(), "chatml");

  TestModel none;
  none.chat_template = false;
  auto raw = load(options_for(none));
  EXPECT_THAT(LlamaVocabulary::make(*raw).value()->render(messages).error().hint, HasSubstr("chat_template"));
}

TEST(LlamaVocabulary, AGrammarAllowsWhatFitsAndABrokenOneIsAnError) {
  auto model = load();
  const auto vocabulary = LlamaVocabulary::make(*model).value();
  EXPECT_EQ(vocabulary->grammar("root ::= (").error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(vocabulary->grammar("other ::= \"a\""));
  EXPECT_FALSE(vocabulary->grammar("root ::= root \"a\"")) << "left recursion";
  auto grammar = vocabulary->grammar("root ::= \"ab\"").value();
  const auto a = vocabulary->tokenize("a", false, false).value();
  std::vector<bool> allowed;
  const Token candidates[] = {5 + 'a', 5 + 'b', 2};  // byte tokens, end of text
  grammar->filter(candidates, allowed);
  EXPECT_EQ(allowed, (std::vector<bool>{true, false, false}));
  ASSERT_TRUE(grammar->accept(5 + 'a'));
  ASSERT_TRUE(grammar->accept(5 + 'b'));
  grammar->filter(candidates, allowed);
  EXPECT_EQ(allowed, (std::vector<bool>{false, false, true}));
}

TEST(LlamaVocabulary, AGrammarTellsTheTextThatItLeavesNoChoiceAbout) {
  auto model = load();
  const auto vocabulary = LlamaVocabulary::make(*model).value();
  auto grammar = vocabulary->grammar(R"(root ::= "{\"on\":" ("true" | "tries" | "false") "}")").value();
  EXPECT_EQ(grammar->forced(100), "{\"on\":");
  EXPECT_EQ(grammar->forced(3), "{\"o");
  for (const char c : std::string("{\"on\":t")) ASSERT_TRUE(grammar->accept(5 + c));
  EXPECT_EQ(grammar->forced(100), "r") << "asking changed nothing";
  for (const char c : std::string("ru")) ASSERT_TRUE(grammar->accept(5 + c));
  EXPECT_EQ(grammar->forced(100), "e}");
  for (const char c : std::string("e}")) ASSERT_TRUE(grammar->accept(5 + c));
  EXPECT_EQ(grammar->forced(100), "") << "complete";
}

TEST(LlamaVocabulary, AGrammarSaysTheSameOfAllTokensAtOnceAsOfEachAlone) {
  auto model = load();
  const auto vocabulary = LlamaVocabulary::make(*model).value();
  auto grammar = vocabulary
                     ->grammar(R"(root ::= ws "{" ws "\"status\":" ws ("\"on\"" | "\"öffnen\"" | [0-9]+) "}"
ws ::= " "?)")
                     .value();
  std::vector<Token> all(static_cast<size_t>(vocabulary->size()));
  std::iota(all.begin(), all.end(), 0);
  std::vector<bool> together, alone;
  const auto answer = vocabulary->tokenize(R"({ "status": "öffnen"})", false, false).value();
  for (const Token next : answer) {
    grammar->filter(all, together);
    for (const Token token : all) {
      grammar->filter({&token, 1}, alone);
      ASSERT_EQ(together[static_cast<size_t>(token)], alone[0]) << token << ": " << vocabulary->piece(token);
    }
    ASSERT_TRUE(together[static_cast<size_t>(next)]) << vocabulary->piece(next);
    ASSERT_TRUE(grammar->accept(next));
  }
}

TEST(LlamaForward, EmbeddingsAreUnitVectorsThatDependOnTheTextAlone) {
  LoadOptions options = options_for();
  options.embeddings = true;
  auto model = load(options);
  EXPECT_FALSE(model->loaded().can_generate);
  LlamaForward forward(*model);
  const std::vector<std::vector<Token>> inputs = {tokens(10, 1), tokens(200, 2), tokens(10, 1), tokens(300, 3)};
  const auto vectors = forward.embed(inputs).value();
  ASSERT_EQ(vectors.size(), 4U);
  for (const auto& v : vectors) {
    double square = 0;
    for (const float x : v) square += static_cast<double>(x) * x;
    EXPECT_NEAR(square, 1, 1e-5);
  }
  EXPECT_LE(distance(vectors[0], vectors[2]), 1e-3F);
  EXPECT_GT(distance(vectors[0], vectors[1]), 0.01F);
  const std::vector<std::vector<Token>> empty = {{}};
  EXPECT_EQ(forward.embed(empty).error().code, ErrorCode::invalid_argument);
  const std::vector<std::vector<Token>> huge = {tokens(5000)};
  EXPECT_THAT(forward.embed(huge).error().message, HasSubstr("5000 tokens"));
}

}  // namespace
}  // namespace skep::engine
