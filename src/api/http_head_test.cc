#include "api/http_head.h"

#include <gtest/gtest.h>

namespace skep::api {
namespace {

const WallTime kNow{std::chrono::seconds(1'700'000'000)};

TEST(HttpHead, WritesStatusDateAndFraming) {
  HttpResponse response;
  response.body = "{}";
  response.headers = {{"X-Skep-Model", "tiny"}};
  EXPECT_EQ(response_head(response, BodyFraming::length, true, kNow),
            "HTTP/1.1 200 OK\r\n"
            "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
            "Content-Type: application/json\r\n"
            "X-Skep-Model: tiny\r\n"
            "Content-Length: 2\r\n"
            "Connection: keep-alive\r\n\r\n");
  EXPECT_EQ(response_head({204, "", "", {}}, BodyFraming::length, false, kNow),
            "HTTP/1.1 204 No Content\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nConnection: close\r\n\r\n");
}

TEST(HttpHead, LetsNoValueStartAHeaderOfItsOwn) {
  HttpResponse response;
  response.headers = {{"X-Skep-Model", "evil\r\nSet-Cookie: a=b"}};
  auto head = response_head(response, BodyFraming::chunked, true, kNow);
  EXPECT_NE(head.find("X-Skep-Model: evilSet-Cookie: a=b\r\n"), std::string::npos);
}

TEST(HttpHead, FramesChunks) { EXPECT_EQ(chunk(std::string(26, 'x')), "1a\r\n" + std::string(26, 'x') + "\r\n"); }

TEST(HttpMessage, DecodesPathsAndQueries) {
  EXPECT_EQ(percent_decode("/a%2Fb%20c+d"), "/a/b c+d");
  for (const char* broken : {"%", "%1", "%zz", "%00"}) EXPECT_FALSE(percent_decode(broken).has_value()) << broken;
  HttpRequest request;
  request.query = "a=1&text=hello+w%C3%B6rld&flag";
  EXPECT_EQ(request.query_value("text"), "hello wörld");
  EXPECT_EQ(request.query_value("flag"), "");
  EXPECT_EQ(request.query_value("b"), "");
}

}  // namespace
}  // namespace skep::api
