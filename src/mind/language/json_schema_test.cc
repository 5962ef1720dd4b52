#include "mind/language/json_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "mind/language/gbnf_recogniser.h"
#include "mind/language/json_values.h"

namespace skep::language {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Case {
  const char* schema;
  std::vector<const char*> accepted, rejected;
};

void check(const Case& each) {
  SCOPED_TRACE(each.schema);
  const auto grammar = schema_grammar(each.schema);
  ASSERT_TRUE(grammar) << grammar.error().text();
  GbnfRecogniser recogniser(*grammar);
  for (const char* text : each.accepted) EXPECT_TRUE(recogniser.matches(text)) << text << "\n" << *grammar;
  for (const char* text : each.rejected) EXPECT_FALSE(recogniser.matches(text)) << text << "\n" << *grammar;
}

TEST(JsonSchema, SimpleTypes) {
  check({R"({"type":"boolean"})", {"true", "false"}, {"null", "True", "1", "true "}});
  check({R"({"type":"null"})", {"null"}, {"0", ""}});
  check({R"({"type":"integer"})", {"0", "-1", "42", "999999999999999999"}, {"01", "1.0", "+1", "-", "1e3", ""}});
  check({R"({"type":"number"})", {"0", "-1.5", "42", "1e3", "0.25", "1E-7"}, {"01", ".5", "1.", "-", "NaN", "1e"}});
  check({R"({"type":"string"})",
         {R"("")", R"("hi")", R"("a\"b\\c\n")", "\"h\xC3\xA9llo\"", R"("\u00e9")"},
         {"hi", R"("a"b")", "\"a\nb\"", R"("\x")", R"("\ud800")", "\""}});
  check({R"({"type":["string","null"]})", {R"("a")", "null"}, {"1", "true"}});
  check({R"({"type":"string","nullable":true})", {R"("a")", "null"}, {"1"}});
}

TEST(JsonSchema, AnyValue) {
  const std::vector<const char*> values = {"1", "null", R"("x")", R"([1,"a",{"b":[]}])", R"({"a":{"b":null}, "c":[]})"};
  check({"{}", values, {"", "{", "[1,]", R"({"a"})", R"({a:1})"}});
  check({"true", values, {"nul"}});
  check({R"({"description":"anything","title":"t"})", values, {"nul"}});
}

TEST(JsonSchema, Objects) {
  check({R"({"type":"object"})", {"{}", R"({"a":1})", R"({ "a": [1, 2], "b": {} })"}, {"[]", "1", R"({"a":1,})"}});
  check({R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a","b"]})",
         {R"({"a":1,"b":"x"})", R"({ "a": 1, "b": "x" })", "{\n  \"a\": 1,\n  \"b\": \"x\"\n}"},
         {"{}", R"({"a":1})", R"({"b":"x","a":1})", R"({"a":1,"b":"x","c":1})", R"({"a":"x","b":"x"})",
          R"({"a":1,"b":"x",})"}});
}

TEST(JsonSchema, OptionalPropertiesInAnySubsetInOrder) {
  check({R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}}})",
         {"{}", "{ }", R"({"a":null})", R"({"b":null})", R"({"c":null})", R"({"a":null,"b":null})",
          R"({"a":null,"c":null})", R"({"b":null,"c":null})", R"({"a":null,"b":null,"c":null})"},
         {R"({"b":null,"a":null})", R"({,"a":null})", R"({"a":null,})", R"({"a":null,"a":null})", R"({"d":null})"}});
  check({R"({"properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"required":["b"]})",
         {R"({"b":null})", R"({"a":null,"b":null})", R"({"b":null,"c":null})", R"({"a":null,"b":null,"c":null})"},
         {"{}", R"({"a":null})", R"({"a":null,"c":null})", R"({"c":null})"}});
}

TEST(JsonSchema, AdditionalProperties) {
  check({R"({"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":false})",
         {"{}", R"({"a":1})"},
         {R"({"a":1,"b":2})", R"({"b":2})"}});
  check({R"({"type":"object","additionalProperties":{"type":"integer"}})",
         {"{}", R"({"x":1})", R"({"x":1, "y":2})"},
         {R"({"x":"1"})", R"({"x":1,})"}});
  check(
      {R"({"type":"object","properties":{"ab":{"type":"string"}},"required":["ab"],"additionalProperties":{"type":"integer"}})",
       {R"({"ab":"s"})", R"({"ab":"s","a":1})", R"({"ab":"s","abc":1,"b":2})", R"({"ab":"s","":1})"},
       {R"({"ab":"s","ab":1})", R"({"a":1})", R"({"ab":"s","x":"y"})", R"({"ab":"s","\u0061b":1})"}});
  check({R"({"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":true})",
         {"{}", R"({"a":null})", R"({"b":[1]})", R"({"a":null,"b":{}})"},
         {R"({"a":1})"}});
  check({R"({"type":"object","required":["x"]})", {R"({"x":1})", R"({"x":[],"y":2})"}, {"{}", R"({"y":2})"}});
  check({R"({"type":"object","additionalProperties":false})", {"{}", "{ }"}, {R"({"a":1})"}});
}

TEST(JsonSchema, CountsOfProperties) {
  check({R"({"type":"object","additionalProperties":{"type":"null"},"minProperties":1,"maxProperties":2})",
         {R"({"a":null})", R"({"a":null,"b":null})"},
         {"{}", R"({"a":null,"b":null,"c":null})"}});
  check({R"({"type":"object","maxProperties":0})", {"{}"}, {R"({"a":1})"}});
}

TEST(JsonSchema, Arrays) {
  check({R"({"type":"array"})", {"[]", "[1]", R"([1, "a", []])"}, {"[1,]", "[,1]", "{}"}});
  check({R"({"type":"array","items":{"type":"integer"}})", {"[]", "[ 1,2 ]", "[1, 2, 3]"}, {"[\"a\"]", "[1 2]"}});
  check({R"({"type":"array","items":{"type":"null"},"minItems":2,"maxItems":3})",
         {"[null,null]", "[null,null,null]"},
         {"[]", "[null]", "[null,null,null,null]"}});
  check({R"({"type":"array","items":{"type":"null"},"minItems":1})", {"[null]", "[null,null,null,null]"}, {"[]"}});
  check({R"({"type":"array","items":{"type":"null"},"maxItems":1})", {"[]", "[null]"}, {"[null,null]"}});
  check({R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}});
  check({R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false})",
         {"[]", "[1]", R"([1,"a"])"},
         {R"(["a"])", R"([1,"a",2])"}});
  check(
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"null"},"minItems":2})",
       {R"([1,"a"])", R"([1,"a",null,null])"},
       {"[]", "[1]", R"([1,"a",1])"}});
  check({R"({"items":[{"type":"integer"}],"additionalItems":{"type":"null"},"minItems":2,"maxItems":3})",
         {"[1,null]", "[1,null,null]"},
         {"[1]", "[1,null,null,null]", "[null]"}});
}

TEST(JsonSchema, LongCountsAreExact) {
  const auto text = [](int n) {
    std::string array = "[";
    for (int i = 0; i < n; ++i) array += i == 0 ? "1" : ",1";
    return array + "]";
  };
  const auto grammar = schema_grammar(R"({"type":"array","items":{"const":1},"minItems":150,"maxItems":420})");
  ASSERT_TRUE(grammar);
  GbnfRecogniser recogniser(*grammar);
  for (const int n : {150, 151, 250, 251, 349, 350, 419, 420}) EXPECT_TRUE(recogniser.matches(text(n))) << n;
  for (const int n : {0, 1, 149, 421, 500, 570}) EXPECT_FALSE(recogniser.matches(text(n))) << n;
  const auto string = schema_grammar(R"({"type":"string","maxLength":300})");
  GbnfRecogniser lengths(*string);
  for (const size_t n : {0, 99, 100, 101, 299, 300}) EXPECT_TRUE(lengths.matches('"' + std::string(n, 'x') + '"')) << n;
  EXPECT_FALSE(lengths.matches('"' + std::string(301, 'x') + '"'));
}

TEST(JsonSchema, EnumAndConst) {
  check({R"({"enum":["a","b c",1,null,{"k":[1]}]})",
         {R"("a")", R"("b c")", "1", "null", R"({"k":[1]})"},
         {R"("c")", "2", "a"}});
  check({R"({"type":"string","enum":["a",1]})", {R"("a")"}, {"1"}});
  check({R"({"const":"x\"y"})", {R"("x\"y")"}, {R"("x")"}});
}

TEST(JsonSchema, LengthsOfStrings) {
  check({R"({"type":"string","minLength":2,"maxLength":3})",
         {R"("ab")", R"("abc")", R"("\n\"")", "\"\xC3\xA9\xC3\xA9\""},
         {R"("a")", R"("abcd")", R"("")"}});
  check({R"({"type":"string","minLength":1})", {R"("a")", R"("abcdef")"}, {R"("")"}});
  check({R"({"type":"string","maxLength":0})", {R"("")"}, {R"("a")"}});
}

TEST(JsonSchema, Formats) {
  check({R"({"type":"string","format":"date"})",
         {R"("2026-11-21")", R"("2024-02-28")", R"("1999-12-31")"},
         {R"("2026-13-01")", R"("2026-04-31")", R"("2026-02-30")", R"("26-01-01")", R"("2026-1-1")"}});
  check({R"({"type":"string","format":"time"})",
         {R"("23:59:59Z")", R"("00:00:00.5+02:00")"},
         {R"("24:00:00Z")", R"("12:00")"}});
  check({R"({"type":"string","format":"date-time"})",
         {R"("2026-11-21T09:00:00Z")", R"("2026-11-21T09:00:00.123-05:30")"},
         {R"("2026-11-21 09:00:00Z")", R"("2026-11-21")"}});
  check({R"({"type":"string","format":"uuid"})",
         {R"("123e4567-e89b-12d3-a456-426614174000")"},
         {R"("123e4567e89b12d3a456426614174000")", R"("g23e4567-e89b-12d3-a456-426614174000")"}});
  check({R"({"type":"string","format":"email"})",
         {R"("a.b+c@example.org")", R"("x@y-z.co.uk")"},
         {R"("a@b")", R"("@x.y")", R"("a b@x.y")"}});
  check({R"({"type":"string","format":"ipv4"})",
         {R"("127.0.0.1")", R"("255.249.99.0")"},
         {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"}});
  check({R"({"type":"string","format":"ipv6"})", {R"("2001:db8:0:0:0:0:0:1")"}, {R"("1:2:3")"}});
  check({R"({"type":"string","format":"uri"})",
         {R"("https://example.org/a?b=c#d")", R"("mailto:x@y")"},
         {R"("example")", R"("http://a b")"}});
  check({R"({"type":"string","format":"hostname"})", {R"("a.example-1.org")"}, {R"("-a.org")", R"("a..b")"}});
  check({R"({"type":"string","format":"duration"})",
         {R"("P3D")", R"("PT1H30M")", R"("P1DT2H")", R"("P2W")"},
         {R"("P")", R"("3D")"}});
}

TEST(JsonSchema, Patterns) {
  check({R"({"type":"string","pattern":"^[A-Z]{2}-\\d{3,4}$"})",
         {R"("AB-123")", R"("XY-1234")"},
         {R"("AB-12")", R"("ab-123")", R"("AB-12345")", R"("xAB-123")"}});
  check({R"({"pattern":"^(foo|ba[rz])+$"})", {R"("foo")", R"("barbaz")"}, {R"("")", R"("fo")", R"("bax")"}});
  check({R"({"pattern":"b+"})", {R"("b")", R"("abbc")", R"("\nb")"}, {R"("")", R"("ac")"}});
  check({R"({"pattern":"^a|z$"})", {R"("abc")", R"("xyz")", R"("a")"}, {R"("za")", R"("b")"}});
  check({R"({"pattern":"^\\w+(?:\\.\\w+)*@[^@\\s]+$"})", {R"("a.b@c-d")", R"("a_1@x")"}, {R"("@x")", R"("a@b@c")"}});
  check({R"({"pattern":"^[\"\\\\]$"})", {R"("\"")", R"("\\")"}, {R"(""")", R"("a")"}});
  check({R"({"pattern":"^a\\nb$"})", {R"("a\nb")"}, {"\"a\nb\""}});
  check({R"({"pattern":"^.{2}$"})", {R"("ab")", "\"\xC3\xA9x\""}, {R"("a")", R"("abc")"}});
  check({R"({"pattern":"^[^a-c]$"})", {R"("d")", R"(" ")"}, {R"("a")", R"("")"}});
  check({R"({"pattern":"^[-a\\]]+?$"})", {R"("-a]")"}, {R"("b")"}});
  check({R"({"pattern":"^\\u00e9\\x41$"})",
         {"\"\xC3\xA9"
          "A\""},
         {R"("eA")"}});
  check({R"({"pattern":"^$"})", {R"("")"}, {R"("a")"}});
}

TEST(JsonSchema, BoundsOfIntegers) {
  const auto holds = [](const std::string& schema, int64_t low, int64_t high) {
    const auto grammar = schema_grammar(schema);
    ASSERT_TRUE(grammar) << schema;
    GbnfRecogniser recogniser(*grammar);
    for (int64_t i = -1300; i <= 1300; ++i) {
      ASSERT_EQ(recogniser.matches(std::to_string(i)), i >= low && i <= high) << i << " " << schema << "\n" << *grammar;
    }
    EXPECT_FALSE(recogniser.matches("007"));
    EXPECT_FALSE(recogniser.matches("-0"));
  };
  constexpr int64_t far = 1LL << 40;
  holds(R"({"type":"integer","minimum":0})", 0, far);
  holds(R"({"type":"integer","minimum":1,"maximum":5})", 1, 5);
  holds(R"({"type":"integer","minimum":-7,"maximum":123})", -7, 123);
  holds(R"({"type":"integer","minimum":18,"maximum":1099})", 18, 1099);
  holds(R"({"type":"integer","minimum":99,"maximum":101})", 99, 101);
  holds(R"({"type":"integer","minimum":-1234,"maximum":-56})", -1234, -56);
  holds(R"({"type":"integer","maximum":-3})", -far, -3);
  holds(R"({"type":"integer","maximum":250})", -far, 250);
  holds(R"({"type":"integer","exclusiveMinimum":9,"exclusiveMaximum":11})", 10, 10);
  holds(R"({"type":"integer","minimum":0.5,"maximum":3.5})", 1, 3);
  holds(R"({"type":"integer","minimum":-1000})", -1000, far);
}

TEST(JsonSchema, BoundsOfNumbers) {
  check({R"({"type":"number","minimum":0,"maximum":1})",
         {"0", "1", "0.5", "0.0001", "1.0", "0.0"},
         {"-0.1", "1.1", "2", "1.01", "-1", "1e0", "00"}});
  check({R"({"type":"number","minimum":-2,"maximum":10})",
         {"-2", "-2.0", "-1.99", "-0.5", "0", "9.99", "10", "10.00"},
         {"-2.1", "10.1", "-3", "11"}});
  check({R"({"type":"number","minimum":3})", {"3", "3.5", "123456"}, {"2.9", "-4", "0"}});
  check({R"({"type":"number","maximum":-1})", {"-1", "-1.5", "-20"}, {"-0.5", "0", "3"}});
}

TEST(JsonSchema, References) {
  check(
      {R"({"$ref":"#/$defs/p","$defs":{"p":{"type":"object","properties":{"x":{"$ref":"#/$defs/n"}},"required":["x"]},"n":{"type":"integer"}}})",
       {R"({"x":1})"},
       {R"({"x":"1"})", "{}"}});
  check({R"({"definitions":{"a b":{"const":1}},"items":{"$ref":"#/definitions/a%20b"}})", {"[1,1]"}, {"[2]"}});
  // Recursive: a tree, a linked list, the document itself.
  check(
      {R"({"type":"object","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#"}}},"required":["v"]})",
       {R"({"v":1})", R"({"v":1,"kids":[{"v":2},{"v":3,"kids":[]}]})"},
       {R"({"kids":[]})", R"({"v":1,"kids":[{}]})"}});
  check(
      {R"({"$ref":"#/$defs/list","$defs":{"list":{"anyOf":[{"type":"null"},{"type":"object","properties":{"next":{"$ref":"#/$defs/list"}},"required":["next"]}]}}})",
       {"null", R"({"next":{"next":null}})"},
       {"{}", R"({"next":1})"}});
  check(
      {R"({"$defs":{"base":{"type":"object","properties":{"a":{"const":1}},"required":["a"]}},"$ref":"#/$defs/base","properties":{"b":{"const":2}},"required":["b"]})",
       {R"({"b":2,"a":1})"},
       {R"({"a":1})", R"({"b":2})"}});
}

TEST(JsonSchema, Alternatives) {
  check({R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})", {"1", R"("a")"}, {R"("ab")", "null"}});
  check({R"({"oneOf":[{"const":"a"},{"const":"b"}]})", {R"("a")", R"("b")"}, {R"("c")"}});
  check(
      {R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"anyOf":[{"required":["a"]},{"required":["b"]}]})",
       {R"({"a":null})", R"({"b":null})", R"({"a":null,"b":null})"},
       {"{}"}});
}

TEST(JsonSchema, AllOfIsMerged) {
  check(
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"string"}},"required":["b"]}]})",
       {R"({"a":1,"b":"x"})"},
       {R"({"a":1})", R"({"b":"x"})", "{}"}});
  check({R"({"allOf":[{"$ref":"#/$defs/a"},{"maximum":5}],"$defs":{"a":{"type":"integer","minimum":1,"maximum":9}}})",
         {"1", "5"},
         {"0", "6", "9"}});
  check({R"({"allOf":[{"enum":[1,2,3]},{"enum":[2,3,4]}]})", {"2", "3"}, {"1", "4"}});
  check({R"({"allOf":[{"type":["integer","string"]},{"type":["number","null"]}]})", {"3"}, {"3.5", "null", R"("a")"}});
  check({R"({"properties":{"a":{"type":"integer"}},"allOf":[{"properties":{"a":{"minimum":3}}}]})",
         {R"({"a":3})", "{}"},
         {R"({"a":2})"}});
}

TEST(JsonSchema, WhatIsNotSupportedIsNamedWithItsPlace) {
  const std::tuple<const char*, const char*, const char*> table[] = {
      {R"({"not":{"type":"null"}})", "not", "#/not"},
      {R"({"type":"object","properties":{"a":{"type":"string","if":{}}}})", "if", "#/properties/a/if"},
      {R"({"properties":{"a/b":{"type":"array","uniqueItems":true}}})", "uniqueItems", "#/properties/a~1b/uniqueItems"},
      {R"({"items":{"contains":{}}})", "contains", "#/items/contains"},
      {R"({"type":"number","multipleOf":0.5})", "multipleOf", "#/multipleOf"},
      {R"({"type":"number","minimum":0.5})", "minimum", "#/minimum"},
      {R"({"type":"number","exclusiveMinimum":0})", "exclusiveMinimum", "#/exclusiveMinimum"},
      {R"({"type":"string","format":"color"})", "format", "known are date"},
      {R"x({"type":"string","pattern":"a(?=b)"})x", "pattern", "look-ahead"},
      {R"({"type":"string","pattern":"(a)\\1"})", "pattern", "\\1"},
      {R"({"type":"string","pattern":"^a$","maxLength":3})", "maxLength", "beside pattern"},
      {R"({"$ref":"https://example.org/schema"})", "$ref", "out of the document"},
      {R"({"$ref":"#/$defs/missing"})", "$ref", "does not exist"},
      {R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})", "$ref", "itself"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "$ref", "itself"},
      {R"({"patternProperties":{"^x":{}}})", "patternProperties", "#/patternProperties"},
      {R"({"properties":{"a":{}},"unevaluatedProperties":false})", "unevaluatedProperties", "#/unevaluatedProperties"},
      {R"({"prefixItems":[{}],"unevaluatedItems":false})", "unevaluatedItems", "#/unevaluatedItems"},
      {R"({"items":{"type":"null"},"additionalItems":false})", "additionalItems", "list of items"},
      {R"({"prefixItems":[{}],"additionalItems":false})", "additionalItems", "list of items"},
      {R"({"type":"colour"})", "type", "colour"},
      {R"({"properties":{"a":{}},"required":["b"],"additionalProperties":false})", "required", "b"},
      {R"({"type":"integer","minimum":5,"maximum":4})", "maximum", "below"},
      {R"({"allOf":[{"type":"string"},{"type":"null"}]})", "type", "/allOf/1/type"},
      {R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})", "pattern", "/allOf/1/pattern"},
      {R"({"type":"array","minItems":5000})", "minItems", "over"},
      {R"({"properties":{"a":false}})", "#/properties/a", "false"},
      {R"([1])", "schema", "not a schema"},
      {R"({"type":)", "schema", ""},
  };
  for (const auto& [schema, keyword, detail] : table) {
    const auto grammar = schema_grammar(schema);
    ASSERT_FALSE(grammar) << schema;
    EXPECT_EQ(grammar.error().code, ErrorCode::invalid_argument) << schema;
    EXPECT_THAT(grammar.error().message, AllOf(HasSubstr(keyword), HasSubstr(detail))) << schema;
  }
}

TEST(JsonSchema, LargeOnesAreRefusedAndNotChewedOn) {
  std::string deep = R"({"type":"null"})";
  for (int i = 0; i < 45; ++i) deep = R"({"items":)" + deep + "}";
  EXPECT_THAT(schema_grammar(deep).error().message, HasSubstr("nested deeper"));
  std::string wide = R"({"properties":{)";
  for (int i = 0; i < 3000; ++i)
    wide += (i == 0 ? "\"p" : ",\"p") + std::to_string(i) + R"(":{"const":)" + std::to_string(i) + "}";
  EXPECT_THAT(schema_grammar(wide + "}}").error().message, HasSubstr("too large"));
  // Doubles at each level by references that have to be merged.
  std::string doubling = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 38; ++i) {
    const std::string next = R"({"$ref":"#/$defs/d)" + std::to_string(i + 1) + R"(","minimum":)";
    doubling += "\"d" + std::to_string(i) + R"(":{"anyOf":[)" + next + "1}," + next + "2}]},";
  }
  EXPECT_FALSE(schema_grammar(doubling + R"("d38":{"type":"integer"}}})"));
}

TEST(JsonSchema, PropertyNamesThatLookAlikeGetRulesOfTheirOwn) {
  check(
      {R"({"properties":{"a-b":{"const":1},"a_b":{"const":2},"a b":{"const":3},"root":{"const":4},"value":{"const":5}},"required":["a-b","a_b","a b","root","value"]})",
       {R"({"a-b":1,"a_b":2,"a b":3,"root":4,"value":5})"},
       {R"({"a-b":2,"a_b":2,"a b":3,"root":4,"value":5})"}});
}

TEST(JsonSchema, AnyObjectIsAnObject) {
  Gbnf grammar;
  const std::string rule = any_object(grammar);
  GbnfRecogniser recogniser(grammar.text(rule));
  EXPECT_TRUE(recogniser.matches(R"({"a": [1, {"b": "c"}]})"));
  EXPECT_FALSE(recogniser.matches("[]"));
}

}  // namespace
}  // namespace skep::language
