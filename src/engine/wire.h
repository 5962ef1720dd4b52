#pragma once
// The bytes between the daemon and an engine worker: frames over a stream socket, one message each. doc/wire.md has the
// layout. Both ends are the same binary, so there is one version and no optional fields; a side that hears another
// version in Hello gives up. Input is not trusted (a worker may be broken): every failure is an Error, never a crash,
// and a frame can't make the reader allocate more than a small multiple of its own size.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "engine/messages.h"
#include "engine/score.h"

namespace skep::engine {

constexpr uint32_t kWireVersion = 4;
constexpr size_t kFrameHeader = 13;          // u32 length | u8 kind | u64 request
constexpr size_t kMaxPayload = 64U << 20;    // 2,048 embeddings of 4,096 floats are 32 MiB
constexpr size_t kMaxListItems = 1U << 20U;  // in any one list of a message

// The order is the kind's number on the wire: append only. Daemon → worker: Hello to Shutdown; both send Hello;
// worker → daemon: Progress to Heartbeat; what came later says its direction.
using Message = std::variant<Hello,             // 0
                             LoadOptions,       // 1  → Progress*, then Loaded or Failed
                             Generate,          // 2  → Piece*, then Finished or Failed
                             Cancel,            // 3
                             Embed,             // 4  → Embeddings or Failed
                             Tokenize,          // 5  → Tokens or Failed
                             HeartbeatRequest,  // 6  → Heartbeat
                             Shutdown,          // 7
                             Progress,          // 8
                             Loaded,            // 9
                             Piece,             // 10
                             Finished,          // 11
                             Failed,            // 12
                             Embeddings,        // 13
                             Tokens,            // 14
                             Heartbeat,         // 15
                             Score,             // 16 → Scores or Failed (daemon → worker)
                             Scores>;           // 17

struct Frame {
  uint8_t kind = 0;
  RequestId request = 0;  // 0 where no request is meant
  std::string payload;
};

// A whole frame, ready to be written. Too large a message is the caller's fault to prevent: it fails as too_large.
Result<std::string> encode(RequestId request, const Message& message);

// corrupt: not what encode() makes.
Result<Message> decode(const Frame& frame);

// Cuts a byte stream into frames. Single-threaded. Holds at most one frame and what was fed after it.
class FrameDecoder {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }

  // The next whole frame; nothing when more bytes are needed. After an error the stream is lost: it stays an error.
  Result<std::optional<Frame>> next();

 private:
  std::string buffer_;
  size_t read_ = 0;  // bytes of buffer_ that were returned already
  bool broken_ = false;
};

}  // namespace skep::engine
