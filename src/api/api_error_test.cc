#include "api/api_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::api {
namespace {

std::string header(const HttpResponse& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

TEST(ApiError, GivesEveryCodeItsStatus) {
  struct {
    ErrorCode code;
    int status;
  } table[] = {
      {ErrorCode::invalid_argument, 400},  {ErrorCode::unsupported, 400},     {ErrorCode::unauthenticated, 401},
      {ErrorCode::permission_denied, 403}, {ErrorCode::not_found, 404},       {ErrorCode::conflict, 409},
      {ErrorCode::too_large, 413},         {ErrorCode::quota_exhausted, 429}, {ErrorCode::cancelled, 499},
      {ErrorCode::internal, 500},          {ErrorCode::corrupt, 500},         {ErrorCode::io, 500},
      {ErrorCode::overloaded, 503},        {ErrorCode::unavailable, 503},     {ErrorCode::deadline_exceeded, 504},
      {ErrorCode::out_of_memory, 507},     {ErrorCode::context_overflow, 400}};
  for (auto [code, status] : table) {
    auto response = error_response({{code, "m", ""}, ""}, ErrorStyle::openai);
    EXPECT_EQ(response.status, status) << to_string(code);
    EXPECT_EQ(header(response, "Retry-After") != "", status == 429 || status == 503) << to_string(code);
  }
}

TEST(ApiError, CallsATooLongPromptWhatOpenAiClientsLookFor) {
  EXPECT_THAT(error_body({{ErrorCode::context_overflow, "m", ""}, ""}, ErrorStyle::openai),
              ::testing::HasSubstr(R"("type":"invalid_request_error","code":"context_length_exceeded")"));
}

TEST(ApiError, SpeaksEveryClientsLanguage) {
  ApiError error{{ErrorCode::not_found, "no such model", ""}, "model"};
  EXPECT_EQ(error_body(error, ErrorStyle::openai),
            R"({"error":{"message":"no such model","type":"not_found_error","code":"not_found","param":"model"}})");
  EXPECT_EQ(error_body(error, ErrorStyle::ollama), R"({"error":"no such model"})");
  EXPECT_EQ(error_body(error, ErrorStyle::anthropic),
            R"({"type":"error","error":{"type":"not_found_error","message":"no such model"}})");
  EXPECT_EQ(error_body(error, ErrorStyle::control), R"({"error":"no such model","code":"not_found"})");
}

TEST(ApiError, GivesTheWayOutWithTheMessage) {
  ApiError error{{ErrorCode::not_found, "no such model", "skep model list"}, ""};
  EXPECT_EQ(error_body(error, ErrorStyle::ollama), "{\"error\":\"no such model (skep model list)\"}");
}

TEST(ApiError, RoundsRetryAfterUpToWholeSeconds) {
  ApiError error{{ErrorCode::overloaded, "full", ""}, "", std::chrono::milliseconds(2001)};
  EXPECT_EQ(header(error_response(error, ErrorStyle::ollama), "Retry-After"), "3");
  error.retry_after = Duration::zero();
  EXPECT_EQ(header(error_response(error, ErrorStyle::ollama), "Retry-After"), "1");
}

TEST(ApiError, AsksClientsNotToRetryWhatCanNeverWork) {
  EXPECT_EQ(header(error_response({{ErrorCode::out_of_memory, "m", ""}, ""}, ErrorStyle::openai), "x-should-retry"),
            "false");
  EXPECT_EQ(header(error_response({{ErrorCode::overloaded, "m", ""}, ""}, ErrorStyle::openai), "x-should-retry"), "");
}

}  // namespace
}  // namespace skep::api
