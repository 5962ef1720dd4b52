#include "api/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::api {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

Router example() {
  Router router;
  for (auto [method, pattern] :
       {std::pair("GET", "/"), std::pair("GET", "/v1/models"), std::pair("GET", "/v1/models/{id*}"),
        std::pair("GET", "/api/tasks/{id}"), std::pair("DELETE", "/api/tasks/{id}")}) {
    router.add({method, pattern, Role::read, ErrorStyle::control, {}});
  }
  return router;
}

TEST(Router, CapturesTheRestOfThePathForModelIds) {
  auto match = example().find("GET", "/v1/models/org/repo/file:Q4_0");
  ASSERT_NE(match.route, nullptr);
  EXPECT_THAT(match.captures, ElementsAre(Pair("id", "org/repo/file:Q4_0")));
}

TEST(Router, CapturesOneSegment) {
  Router router = example();
  EXPECT_THAT(router.find("DELETE", "/api/tasks/17").captures, ElementsAre(Pair("id", "17")));
  EXPECT_EQ(router.find("DELETE", "/api/tasks/17/18").route, nullptr);
  EXPECT_EQ(router.find("DELETE", "/api/tasks/").route, nullptr);
}

TEST(Router, AnswersHeadWhereItAnswersGetAndIgnoresATrailingSlash) {
  Router router = example();
  EXPECT_EQ(router.find("HEAD", "/").route->pattern, "/");
  EXPECT_EQ(router.find("GET", "/v1/models/").route->pattern, "/v1/models");
}

TEST(Router, TellsAWrongMethodFromAnUnknownPath) {
  Router router = example();
  auto wrong = router.find("PUT", "/api/tasks/17");
  EXPECT_EQ(wrong.route, nullptr);
  EXPECT_THAT(wrong.allowed, ElementsAre("GET", "HEAD", "DELETE"));
  auto unknown = router.find("GET", "/v1/nothing");
  EXPECT_EQ(unknown.route, nullptr);
  EXPECT_THAT(unknown.allowed, IsEmpty());
  EXPECT_EQ(unknown.style, ErrorStyle::openai);
  for (const char* path : {"", "*", "/v1", "/v1models"}) EXPECT_EQ(router.find("GET", path).route, nullptr) << path;
}

}  // namespace
}  // namespace skep::api
