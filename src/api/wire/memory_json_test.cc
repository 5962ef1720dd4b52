#include "api/wire/memory_json.h"

#include <gtest/gtest.h>

namespace skep::api::wire {
namespace {

HttpRequest request(std::string body, std::string query = {}) {
  HttpRequest r;
  r.body = std::move(body);
  r.query = std::move(query);
  return r;
}

TEST(MemoryJson, AFactStandsAloneOrInAList) {
  const auto one = parse_facts(
      request(R"({"text":"a","agent":"ann","tags":["x","y"],"source":"s","time":"2026-11-21T10:30:00.5+01:00"})"), {});
  ASSERT_TRUE(one);
  EXPECT_EQ(one->at(0).agent, "ann");
  EXPECT_EQ(one->at(0).tags, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(one->at(0).time.time_since_epoch(), std::chrono::milliseconds(1'795'253'400'500));
  const auto many = parse_facts(request(R"({"facts":[{"text":"a"},{"text":"b","time":100}]})"), "ann");
  ASSERT_TRUE(many);
  ASSERT_EQ(many->size(), 2U);
  EXPECT_EQ(many->at(1).agent, "ann");
  EXPECT_EQ(many->at(1).time.time_since_epoch(), std::chrono::seconds(100));
}

TEST(MemoryJson, WhatIsWrongIsNamed) {
  EXPECT_EQ(parse_facts(request(R"({"agent":"a"})"), {}).error().param, "text");
  EXPECT_EQ(parse_facts(request(R"({"text":"a","agent":"bob"})"), "ann").error().param, "agent");
  EXPECT_EQ(parse_facts(request(R"({"facts":[{"text":"a"},{}]})"), {}).error().param, "facts[1].text");
  for (const char* time : {"\"tomorrow\"", "\"2026-11-21\"", "\"9999-01-01T00:00:00Z\"", "1e300"}) {
    EXPECT_EQ(parse_facts(request(fmt::format(R"({{"text":"a","time":{}}})", time)), {}).error().param, "time") << time;
  }
  EXPECT_EQ(parse_memory_query(request(R"({"query":"q","limit":0})")).error().param, "limit");
  EXPECT_EQ(parse_memory_query(request("{}")).error().param, "query");
  EXPECT_EQ(filter_of_url(request("", "from=x"), {}).error().param, "from");
  EXPECT_EQ(parse_block(request("{}"), "", "l").error().param, "value");
}

TEST(MemoryJson, AUrlsFilterHasSeveralTags) {
  const auto filter = filter_of_url(request("", "agent=ann&tag=a,b&from=100&shared=true"), {});
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->agent, "ann");
  EXPECT_EQ(filter->tags, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(filter->with_shared);
  EXPECT_EQ(filter->from->time_since_epoch(), std::chrono::seconds(100));
  EXPECT_FALSE(filter_of_url(request(""), {})->agent.has_value());
}

TEST(MemoryJson, APageSaysWhetherThereIsMore) {
  memory::Fact fact;
  fact.id = 7;
  fact.text = "a \xff";
  fact.tags = {"t"};
  EXPECT_EQ(facts_listed({fact}, 1),
            "{\"facts\":[{\"id\":7,\"agent\":\"\",\"text\":\"a \xEF\xBF\xBD\",\"source\":\"\",\"tags\":[\"t\"],"
            "\"time\":\"1970-01-01T00:00:00.000000000Z\"}],\"next\":7}");
  EXPECT_EQ(facts_listed({}, 10), "{\"facts\":[]}");
  EXPECT_EQ(facts_added({{3, true}}), "{\"added\":[{\"id\":3,\"known\":true}]}");
}

}  // namespace
}  // namespace skep::api::wire
