// Any bytes from the other side of the socket: frames are cut and decoded without a crash, and what decodes encodes to
// something that decodes to the same again.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/wire.h"

using namespace skep::engine;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FrameDecoder decoder;
  decoder.feed({reinterpret_cast<const char*>(data), size});
  while (true) {
    auto frame = decoder.next();
    if (!frame || !*frame) return 0;
    const auto message = decode(**frame);
    if (!message) continue;
    const auto bytes = encode((*frame)->request, *message);
    FrameDecoder again;
    again.feed(bytes.value());
    const auto second = again.next();
    if (!second || !*second) std::abort();
    const auto reread = decode(**second);
    if (!reread || encode((*second)->request, *reread).value() != bytes.value()) std::abort();
  }
}
