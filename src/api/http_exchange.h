#pragma once
// The exchange that a connection hands to its handler: collects the answer until the connection writes it. Internal
// to http_connection.cc.

#include <utility>

#include "api/http_message.h"
#include "base/units.h"

namespace skep::api {

class OpenExchange final : public Exchange {
 public:
  // `wake` tells the connection that there is something to write.
  OpenExchange(HttpRequest request, Bytes unsent_limit, std::function<void()> wake)
      : request_(std::move(request)), limit_(unsent_limit), wake_(std::move(wake)) {}

  [[nodiscard]] const HttpRequest& request() const override { return request_; }
  [[nodiscard]] bool begun() const override { return begun_; }
  [[nodiscard]] bool gone() const override { return gone_; }
  void on_gone(std::function<void()> heard) override { heard_ = std::move(heard); }

  void respond(HttpResponse response) override;
  void begin(HttpResponse head) override;
  void write(std::string_view bytes) override;
  void end() override;

  // For the connection.
  [[nodiscard]] bool streamed() const { return streamed_; }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] bool overrun() const { return overrun_; }
  [[nodiscard]] bool has_unsent() const { return !unsent_.empty(); }
  HttpResponse take_head() { return std::move(head_); }
  std::string take_unsent() { return std::exchange(unsent_, {}); }
  void leave();   // the client is gone: tells the handler, if the answer was not complete
  void detach();  // the connection needs the exchange no more
  HttpRequest& mutable_request() { return request_; }

 private:
  void wake() {
    if (wake_) wake_();
  }

  HttpRequest request_;
  Bytes limit_;
  std::function<void()> wake_;
  std::function<void()> heard_;
  HttpResponse head_;
  std::string unsent_;
  bool begun_ = false, streamed_ = false, ended_ = false, gone_ = false;
  bool overrun_ = false;  // unsent_ grew beyond its limit
};

}  // namespace skep::api
