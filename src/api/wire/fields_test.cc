#include "api/wire/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "api/wire/base64.h"
#include "api/wire/json_text.h"

namespace skep::api::wire {
namespace {

using ::testing::ElementsAre;
namespace json = boost::json;

json::object object(const char* text) { return json::parse(text).as_object(); }

TEST(Fields, RemembersTheFirstComplaintByItsPath) {
  auto value = object(R"({"a":{"list":[{"n":1},{"n":"two"}]},"b":true})");
  std::optional<ApiError> error;
  Fields body(value, error);
  for (Fields& element : body.object("a")->objects("list", 10)) element.integer("n", 0, 10);
  body.text("b");
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->param, "a.list[1].n");
  EXPECT_EQ(error->error.message, "a.list[1].n: must be an integer");
}

TEST(Fields, TakesNullForAbsent) {
  auto value = object(R"({"a":null})");
  std::optional<ApiError> error;
  Fields body(value, error);
  EXPECT_FALSE(body.text("a") || body.boolean("a") || body.number("a", 0, 1) || body.object("a"));
  EXPECT_FALSE(error.has_value());
}

TEST(Fields, ChecksRanges) {
  auto value = object(R"({"big":1e30,"whole":3.0,"half":0.5,"negative":-1})");
  std::optional<ApiError> error;
  Fields body(value, error);
  EXPECT_EQ(body.integer("whole", 0, 10), 3);
  EXPECT_EQ(body.number("half", 0, 1), 0.5F);
  EXPECT_FALSE(error.has_value());
  for (const char* name : {"big", "negative", "half"}) {
    error.reset();
    EXPECT_FALSE(body.integer(name, 0, 10).has_value());
    EXPECT_TRUE(error.has_value()) << name;
  }
}

TEST(Fields, ReadsOneTextOrSeveral) {
  auto value = object(R"({"one":"a","many":["a","b"],"mixed":["a",1]})");
  std::optional<ApiError> error;
  Fields body(value, error);
  EXPECT_THAT(body.texts("one", 2), ElementsAre("a"));
  EXPECT_THAT(body.texts("many", 2), ElementsAre("a", "b"));
  EXPECT_FALSE(error.has_value());
  body.texts("many", 1);
  EXPECT_TRUE(error.has_value());
  error.reset();
  body.texts("mixed", 2);
  EXPECT_EQ(error->param, "mixed");
}

TEST(Fields, RefusesBodiesThatAreNoObject) {
  for (const char* text : {"", "[]", "{", "{}x", "\"a\"", "{\"a\":\"\xff\"}"}) {
    auto body = parse_body(text);
    ASSERT_FALSE(body.has_value()) << text;
    EXPECT_EQ(body.error().error.code, ErrorCode::invalid_argument);
  }
}

TEST(JsonText, WritesNumbersAsPeopleDo) {
  EXPECT_EQ(to_text(json::array{0.5, 1.0, -3, 1e300, std::nan(""), 18446744073709551615ULL}),
            "[0.5,1,-3,1e+300,null,18446744073709551615]");
}

TEST(JsonText, EscapesAndMendsStrings) {
  EXPECT_EQ(to_text(json::value("a\"b\\c\n\t\x01 \xC3\xB6 \xF0\x9F\x90\x9D")),
            "\"a\\\"b\\\\c\\n\\t\\u0001 \xC3\xB6 \xF0\x9F\x90\x9D\"");
  for (const char* broken : {"\xC3", "\xFF", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xC0\xAF"}) {
    std::string text = to_text(json::value(broken));
    EXPECT_NO_THROW(json::parse(text)) << text;
    EXPECT_NE(text.find("\xEF\xBF\xBD"), std::string::npos) << text;
  }
}

TEST(JsonText, ReadsBackWhatItWrote) {
  auto value = json::parse(R"({"a":[1,2.25,null,true,"x\u0000y"],"b":{},"c":[]})");
  EXPECT_EQ(json::parse(to_text(value)), value);
}

TEST(Base64, PadsAsRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

}  // namespace
}  // namespace skep::api::wire
