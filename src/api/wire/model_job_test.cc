#include "api/wire/model_job.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "base/json.h"

namespace skep::api::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

Parsed<ModelJobRequest> parse(const std::string& body) {
  HttpRequest request;
  request.body = body;
  request.caller.name = "ops";
  return parse_model_job(request);
}

TEST(ModelJobWire, ParametersBecomeTheTextOfACommandLine) {
  const auto job = parse(R"({"tool": "prune", "parameters": {"input": "a.gguf", "count": 3, "ratio": 0.25,
                             "layers": [1, 2], "force": true, "json": false, "text": null}})");
  ASSERT_TRUE(job);
  EXPECT_EQ(job->tool, "prune");
  EXPECT_EQ(job->caller, "ops");
  EXPECT_THAT(job->parameters, ElementsAre(Pair("input", "a.gguf"), Pair("count", "3"), Pair("ratio", "2.5E-1"),
                                           Pair("layers", "1,2"), Pair("force", "")));
}

TEST(ModelJobWire, WhatNoOptionTakesIsRefused) {
  for (const char* body :
       {"{}", R"({"tool": 3})", R"({"tool": "x", "parameters": []})", R"({"tool": "x", "parameters": {"a": {}}})",
        R"({"tool": "x", "parameters": {"a": [[1]]}})"}) {
    EXPECT_FALSE(parse(body)) << body;
  }
}

TEST(ModelJobWire, AJobShowsItsResultOrItsError) {
  ModelJobView job;
  job.id = 7;
  job.request.tool = "quantize";
  job.state = ModelJobState::done;
  job.result = R"({"bytes_after": 10})";
  EXPECT_THAT(model_job(job), HasSubstr(R"("result":{"bytes_after":10})"));
  job.state = ModelJobState::failed;
  job.result.clear();
  job.error = Error{ErrorCode::conflict, "b.gguf exists already", "--force"};
  const auto parsed = parse_json(model_job(job), "job");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->at("state").as_string(), "failed");
  EXPECT_EQ(parsed->at("error").at("code").as_string(), "conflict");
  EXPECT_THAT(model_jobs({job}), HasSubstr("\"jobs\":["));
}

}  // namespace
}  // namespace skep::api::wire
