#include "api/http_head.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cassert>
#include <iterator>

namespace skep::api {

namespace {

void append_header(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ");
  for (char c : value) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) head += c;
  }
  head += "\r\n";
}

}  // namespace

std::string response_head(const HttpResponse& response, BodyFraming framing, bool keep_alive, WallTime now) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  head += fmt::format("Date: {:%a, %d %b %Y %H:%M:%S} GMT\r\n",
                      fmt::gmtime(std::chrono::system_clock::to_time_t(
                          std::chrono::time_point_cast<std::chrono::system_clock::duration>(now))));
  bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless) append_header(head, "Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) append_header(head, name, value);
  if (!bodiless) {
    if (framing == BodyFraming::length)
      fmt::format_to(std::back_inserter(head), "Content-Length: {}\r\n", response.body.size());
    if (framing == BodyFraming::chunked) head += "Transfer-Encoding: chunked\r\n";
  }
  head += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

std::string chunk(std::string_view bytes) {
  assert(!bytes.empty());
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

}  // namespace skep::api
