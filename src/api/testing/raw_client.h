#pragma once
// A blocking HTTP client for tests that says exactly what it is told, well-formed or not. Gives up after ten seconds of
// silence, so that a test fails instead of hanging.

#include <cstdint>
#include <string>
#include <string_view>

namespace skep::api::testing {

struct RawResponse {
  int status = 0;
  std::string head;                                               // status line and headers
  std::string body;                                               // chunks joined
  [[nodiscard]] std::string header(std::string_view name) const;  // empty if absent
};

class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_buffer = 0);  // bytes of the socket's buffer; 0: the system's
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void send(std::string_view bytes);
  void get(const std::string& path, const std::string& headers = "");
  void post(const std::string& path, const std::string& body, const std::string& headers = "");

  RawResponse response(bool head_only = false);  // status 0: the connection ended before it was complete
  std::string head();                            // up to the empty line
  std::string until(std::string_view marker);    // what comes, up to and with the marker; less at the end
  bool ended();                                  // the server closes, and says nothing more before it
  void leave();                                  // closes

 private:
  bool fill();
  std::string chunks();

  int socket_ = -1;
  std::string buffer_;
};

}  // namespace skep::api::testing
