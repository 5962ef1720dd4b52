// The parts of an agent's state, and answers from the cache, whatever bytes the disk gives back: what is read at all
// reads back the same after it was written.
#include <cstdint>
#include <string_view>

#include "agent/agent_state.h"
#include "agent/answer_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skep::agent;
  if (size < 1) return 0;
  AgentState::PartName part{static_cast<AgentState::Part>(data[0] % 6), "name", 7};
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  AgentState state;
  if (state.decode(part, bytes)) {
    auto written = state.encode(part);
    AgentState again;
    if (!written || !again.decode(part, *written) || !(again == state)) __builtin_trap();
  }
  if (auto answer = decode_answer(bytes)) {
    auto again = decode_answer(encode_answer(*answer));
    if (!again || !(again->message == answer->message)) __builtin_trap();
  }
  return 0;
}
