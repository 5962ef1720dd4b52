#pragma once
// What happens to an agent in tests: step n of a life is the same for everybody who lives it, so that a twin can
// follow.

#include <string>

#include "agent/agent_state.h"
#include "base/random.h"

namespace skep::agent {

inline std::string random_text(Random& random) {
  std::string text(1 + random.below(random.below(10) == 0 ? 5000 : 200), '\0');
  for (char& c : text) c = static_cast<char>(random.next());  // any byte: it must come back as it is
  return text;
}

// One change, of any kind. `now` is made from the step, not from a clock.
inline Status live(AgentState& state, uint64_t seed, int64_t step) {
  Random random(seed * 1'000'003 + static_cast<uint64_t>(step));
  WallTime now{std::chrono::seconds(1'700'000'000 + step)};
  state.was_active(now);
  std::string talk = "talk " + std::to_string(random.below(3));
  std::string label = "block" + std::to_string(random.below(3));
  switch (random.below(9)) {
    case 0: {
      Letter letter;
      letter.from = "somebody";
      letter.conversation = talk;
      letter.text = random_text(random);
      letter.sent = now;
      auto delivered = state.deliver(std::move(letter));
      return delivered ? Status() : fail(delivered.error());
    }
    case 1:
      if (!state.mailbox().empty())
        state.take_letter(state.mailbox()[random.below(static_cast<uint32_t>(state.mailbox().size()))].id);
      return {};
    case 2:
      if (!state.mailbox().empty()) state.note_failure(state.mailbox().front().id, "why not");
      return {};
    case 3: {
      Status written = state.write_block(label, random_text(random));
      return written || written.error().code == ErrorCode::conflict ? Status() : written;
    }
    case 4:
      if (state.blocks().contains(label)) return state.protect_block(label, random.below(2) == 0);
      return {};
    case 5: {
      auto files = state.parked();
      if (random.below(3) == 0) files.clear();
      files["cells" + std::to_string(step % 5)] = {random_text(random), step, 1 + step % 7, Bytes(step)};
      state.note_parked(std::move(files));
      return {};
    }
    case 6:
      if (random.below(8) == 0) state.forget_conversation(talk);
      return {};
    default: {
      Turn turn;
      turn.at = now;
      turn.message.role = step % 2 == 0 ? "user" : "assistant";
      turn.message.content = random_text(random);
      turn.message.reasoning = random.below(3) == 0 ? random_text(random) : "";
      if (random.below(4) == 0) turn.message.tool_calls.push_back({"id", "name", random_text(random)});
      return state.say(talk, std::move(turn));
    }
  }
}

}  // namespace skep::agent
