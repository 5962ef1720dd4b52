#include "api/wire/openai_embeddings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/wire/openai_models.h"

namespace skep::api::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

HttpRequest request(std::string body) {
  HttpRequest result;
  result.body = std::move(body);
  return result;
}

TEST(OpenAiEmbeddings, ReadsTextsAndTokenIds) {
  auto one = parse_openai_embed(request(R"({"model":"e","input":"a","encoding_format":"base64","dimensions":4})"));
  ASSERT_TRUE(one.has_value());
  EXPECT_TRUE(one->base64);
  EXPECT_EQ(one->dimensions, 4);
  EXPECT_THAT(one->input.inputs, ElementsAre("a"));
  auto many = parse_openai_embed(request(R"({"model":"e","input":["a","b"]})"));
  EXPECT_THAT(many->input.inputs, ElementsAre("a", "b"));
  EXPECT_FALSE(many->base64);
  auto tokens = parse_openai_embed(request(R"({"model":"e","input":[1,2]})"));
  EXPECT_THAT(tokens->input.token_inputs, ElementsAre(ElementsAre(1, 2)));
  auto lists = parse_openai_embed(request(R"({"model":"e","input":[[1],[2,3]]})"));
  EXPECT_THAT(lists->input.token_inputs, ElementsAre(ElementsAre(1), ElementsAre(2, 3)));
}

TEST(OpenAiEmbeddings, RefusesWhatIsNoInput) {
  std::string many = R"({"model":"e","input":["a")";
  for (size_t i = 0; i < kMostEmbedInputs; ++i) many += R"(,"a")";
  for (const std::string& body :
       {std::string(R"({"model":"e"})"), std::string(R"({"model":"e","input":[]})"),
        std::string(R"({"model":"e","input":""})"), std::string(R"({"model":"e","input":["a",""]})"),
        std::string(R"({"model":"e","input":[1,"a"]})"), std::string(R"({"model":"e","input":[-1]})"),
        std::string(R"({"model":"e","input":[[]]})"), std::string(R"({"model":"e","input":[[1],2]})"),
        std::string(R"({"model":"e","input":7})"), many + "]}"}) {
    auto parsed = parse_openai_embed(request(body));
    ASSERT_FALSE(parsed.has_value()) << body.substr(0, 60);
    EXPECT_EQ(parsed.error().param, "input") << body.substr(0, 60);
  }
}

TEST(OpenAiEmbeddings, CutsToUnitLength) {
  engine::Embeddings embeddings;
  embeddings.vectors = {{0.6F, 0.0F, 0.8F}, {0.0F, 0.0F, 1.0F}};
  ASSERT_TRUE(cut_dimensions(embeddings, 2).has_value());
  EXPECT_THAT(embeddings.vectors[0], ElementsAre(FloatEq(1), FloatEq(0)));
  EXPECT_THAT(embeddings.vectors[1], ElementsAre(0, 0));  // nothing is left to scale
  EXPECT_FALSE(cut_dimensions(embeddings, 3).has_value());
}

TEST(OpenAiEmbeddings, WritesFloatsAndBase64) {
  Backend::EmbedAnswer answer{{{{1.0F, -0.1F}}, 3}, "e"};
  EXPECT_EQ(openai_embeddings(answer, false),
            R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,-0.1]}],"model":"e",)"
            R"("usage":{"prompt_tokens":3,"total_tokens":3}})");
  EXPECT_EQ(openai_embeddings(answer, true),
            R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAP83MzL0="}],"model":"e",)"
            R"("usage":{"prompt_tokens":3,"total_tokens":3}})");
}

TEST(OpenAiModels, ListsModelsThenAliasesAndNothingBroken) {
  model::ModelInfo good, broken;
  good.name = "org/tiny";
  good.modified = WallTime(std::chrono::seconds(1700000000));
  broken.name = "torn";
  broken.broken = "cut off";
  EXPECT_EQ(openai_models({good, broken}, {{"fast", "org/tiny"}, {"auto", ""}}, 1800000000),
            R"({"object":"list","data":[)"
            R"({"id":"org/tiny","object":"model","created":1700000000,"owned_by":"library"},)"
            R"({"id":"fast","object":"model","created":1800000000,"owned_by":"skep","root":"org/tiny"},)"
            R"({"id":"auto","object":"model","created":1800000000,"owned_by":"skep"}]})");
}

}  // namespace
}  // namespace skep::api::wire
