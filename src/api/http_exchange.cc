#include "api/http_exchange.h"

#include <cassert>

namespace skep::api {

void OpenExchange::respond(HttpResponse response) {
  if (gone_) return;
  assert(!begun_);
  begun_ = ended_ = true;
  head_ = std::move(response);
  wake();
}

void OpenExchange::begin(HttpResponse head) {
  if (gone_) return;
  assert(!begun_);
  begun_ = streamed_ = true;
  unsent_ = std::exchange(head.body, {});
  head_ = std::move(head);
  wake();
}

void OpenExchange::write(std::string_view bytes) {
  if (gone_ || ended_) return;
  assert(streamed_);
  if (Bytes(static_cast<int64_t>(unsent_.size() + bytes.size())) > limit_) {
    // Not told to the handler here, in the middle of its write: the connection does it in its next step.
    overrun_ = gone_ = true;
    unsent_.clear();
  } else {
    unsent_ += bytes;
  }
  wake();
}

void OpenExchange::end() {
  if (gone_) return;
  assert(streamed_);
  ended_ = true;
  wake();
}

void OpenExchange::leave() {
  gone_ = true;
  unsent_.clear();
  auto heard = std::exchange(heard_, {});
  if (heard && !ended_) heard();
}

void OpenExchange::detach() {
  wake_ = nullptr;
  heard_ = nullptr;
  gone_ = true;
}

}  // namespace skep::api
