#include "api/testing/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <utility>

namespace skep::api::testing {

std::string RawResponse::header(std::string_view name) const {
  std::string lower_head = head, wanted = "\r\n" + std::string(name) + ": ";
  auto lower = [](unsigned char c) { return static_cast<char>(std::tolower(c)); };
  std::transform(lower_head.begin(), lower_head.end(), lower_head.begin(), lower);
  std::transform(wanted.begin(), wanted.end(), wanted.begin(), lower);
  size_t at = lower_head.find(wanted);
  if (at == std::string::npos) return {};
  at += wanted.size();
  return head.substr(at, head.find("\r\n", at) - at);
}

RawClient::RawClient(uint16_t port, int receive_buffer) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  if (receive_buffer > 0) ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  timeval patience{10, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) leave();
}

RawClient::~RawClient() { leave(); }

RawClient::RawClient(RawClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), buffer_(std::move(other.buffer_)) {}

void RawClient::leave() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

void RawClient::get(const std::string& path, const std::string& headers) {
  send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
}

void RawClient::post(const std::string& path, const std::string& body, const std::string& headers) {
  send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
       headers + "\r\n" + body);
}

bool RawClient::fill() {
  char bytes[16 << 10];
  ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
  if (count <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(count));
  return true;
}

std::string RawClient::until(std::string_view marker) {
  size_t at;
  while ((at = buffer_.find(marker)) == std::string::npos) {
    if (!fill()) return std::exchange(buffer_, {});
  }
  std::string result = buffer_.substr(0, at + marker.size());
  buffer_.erase(0, result.size());
  return result;
}

std::string RawClient::head() { return until("\r\n\r\n"); }

std::string RawClient::chunks() {
  std::string body;
  for (;;) {
    std::string line = until("\r\n");
    size_t size = std::strtoul(line.c_str(), nullptr, 16);
    while (buffer_.size() < size + 2) {
      if (!fill()) return body + "<cut off>";
    }
    body += buffer_.substr(0, size);
    buffer_.erase(0, size + 2);
    if (size == 0) return body;
  }
}

RawResponse RawClient::response(bool head_only) {
  RawResponse result;
  result.head = head();
  if (result.head.size() < 12) return result;
  int status = std::atoi(result.head.c_str() + 9);
  if (head_only || status == 204 || status == 100) {
  } else if (result.header("Transfer-Encoding") == "chunked") {
    result.body = chunks();
  } else if (auto length = result.header("Content-Length"); !length.empty()) {
    size_t size = std::strtoul(length.c_str(), nullptr, 10);
    while (buffer_.size() < size) {
      if (!fill()) return result;
    }
    result.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
  } else {
    while (fill()) {
    }
    result.body = std::exchange(buffer_, {});
  }
  result.status = status;
  return result;
}

bool RawClient::ended() {
  if (socket_ < 0) return true;  // not even accepted
  if (!buffer_.empty()) return false;
  char byte;
  ssize_t count = ::recv(socket_, &byte, 1, 0);
  return count == 0 || (count < 0 && errno == ECONNRESET);
}

}  // namespace skep::api::testing
