// The parts of an AgentState as bytes (doc/state.md). Every part begins with the version of its form; a later one is
// refused, not guessed at.
#include <algorithm>
#include <bit>
#include <cmath>

#include "agent/agent_state.h"
#include "store/encoding.h"

namespace skep::agent {
namespace {

using store::Decoder;
using store::Encoder;

constexpr uint8_t kVersion = 1;

int64_t ns(WallTime time) { return time.time_since_epoch().count(); }
WallTime time_of(Decoder& in) { return WallTime(Duration(in.integer())); }
std::string text_of(Decoder& in) { return std::string(in.text()); }

void encode_turn(Encoder& out, const Turn& turn) {
  const language::Message& m = turn.message;
  out.integer(ns(turn.at)).text(m.role).text(m.content).text(m.reasoning).text(m.tool_call_id).text(m.name);
  out.varint(m.tool_calls.size());
  for (const auto& call : m.tool_calls) out.text(call.id).text(call.name).text(call.arguments);
}

Turn decode_turn(Decoder& in) {
  Turn turn;
  turn.at = time_of(in);
  language::Message& m = turn.message;
  m.role = text_of(in);
  m.content = text_of(in);
  m.reasoning = text_of(in);
  m.tool_call_id = text_of(in);
  m.name = text_of(in);
  for (uint64_t n = in.varint(); n > 0 && in.ok(); --n) {
    language::ToolCall call;
    call.id = text_of(in);
    call.name = text_of(in);
    call.arguments = text_of(in);
    m.tool_calls.push_back(std::move(call));
  }
  return turn;
}

}  // namespace

std::optional<std::string> AgentState::encode(const PartName& part) const {
  Encoder out;
  out.fixed(kVersion);
  switch (part.part) {
    case Part::core:
      out.integer(ns(core_.born)).integer(ns(core_.last_active)).varint(core_.next_letter).integer(core_.turns);
      return out.take();
    case Part::letter: {
      auto found = std::find_if(mailbox_.begin(), mailbox_.end(),
                                [&](const Letter& letter) { return letter.id == part.number; });
      if (found == mailbox_.end()) return std::nullopt;
      out.text(found->from).text(found->conversation).text(found->text).integer(ns(found->sent));
      out.integer(found->attempts).text(found->failure).integer(found->max_tokens);
      out.varint(found->temperature ? 1 : 0);
      if (found->temperature) out.fixed(std::bit_cast<uint32_t>(*found->temperature));
      return out.take();
    }
    case Part::conversation: {
      auto found = conversations_.find(part.name);
      if (found == conversations_.end()) return std::nullopt;
      return out.varint(found->second.dropped_turns).take();
    }
    case Part::chunk: {
      auto found = conversations_.find(part.name);
      if (found == conversations_.end()) return std::nullopt;
      auto chunk = found->second.chunks.find(part.number);
      if (chunk == found->second.chunks.end()) return std::nullopt;
      out.varint(chunk->second.turns.size());
      for (const Turn& turn : chunk->second.turns) encode_turn(out, turn);
      return out.take();
    }
    case Part::block: {
      auto found = blocks_.find(part.name);
      if (found == blocks_.end()) return std::nullopt;
      out.fixed(static_cast<uint8_t>(found->second.read_only)).varint(found->second.version);
      return out.text(found->second.value).take();
    }
    case Part::parked: {
      auto found = parked_.find(part.name);
      if (found == parked_.end()) return std::nullopt;
      out.text(found->second.model_hash).integer(found->second.begin).integer(found->second.tokens);
      return out.integer(found->second.bytes.count).take();
    }
  }
  return std::nullopt;
}

// Builds the part beside the state and goes through the same calls as everybody else, so that sizes stay right.
Status AgentState::decode(const PartName& part, std::string_view bytes) {
  Decoder in(bytes);
  auto version = in.fixed<uint8_t>();
  if (version > kVersion) {
    return fail(ErrorCode::unsupported, fmt::format("a part of an agent's state has version {}", version),
                "it was written by a newer skep");
  }
  auto malformed = [] { return fail(ErrorCode::corrupt, "a part of an agent's state is malformed"); };
  if (version != kVersion) return malformed();
  switch (part.part) {
    case Part::core: {
      Core core;
      core.born = time_of(in);
      core.last_active = time_of(in);
      core.next_letter = in.varint();
      core.turns = in.integer();
      if (!in.done()) return malformed();
      core_ = core;
      return {};
    }
    case Part::letter: {
      Letter letter;
      letter.id = part.number;
      letter.from = text_of(in);
      letter.conversation = text_of(in);
      letter.text = text_of(in);
      letter.sent = time_of(in);
      letter.attempts = static_cast<int>(in.integer());
      letter.failure = text_of(in);
      letter.max_tokens = static_cast<int>(in.integer());
      if (in.varint() != 0) letter.temperature = std::bit_cast<float>(in.fixed<uint32_t>());
      if (!in.done() || (letter.temperature && !std::isfinite(*letter.temperature))) return malformed();
      size_ += size_of(letter);
      mailbox_.push_back(std::move(letter));
      return {};
    }
    case Part::conversation: {
      uint64_t dropped = in.varint();
      if (!in.done()) return malformed();
      begin_conversation(part.name).dropped_turns = dropped;
      return {};
    }
    case Part::chunk: {
      Conversation::Chunk chunk;
      for (uint64_t n = in.varint(); n > 0 && in.ok(); --n) {
        chunk.turns.push_back(decode_turn(in));
        chunk.size += size_of(chunk.turns.back());
      }
      if (!in.done()) return malformed();
      size_ += chunk.size;
      begin_conversation(part.name).chunks[part.number] = std::move(chunk);
      return {};
    }
    case Part::block: {
      MemoryBlock block;
      block.read_only = in.fixed<uint8_t>() != 0;
      block.version = in.varint();
      block.value = text_of(in);
      if (!in.done()) return malformed();
      size_ += size_of(part.name, block);
      blocks_[part.name] = std::move(block);
      return {};
    }
    case Part::parked: {
      ParkedCells cells;
      cells.model_hash = text_of(in);
      cells.begin = in.integer();
      cells.tokens = in.integer();
      cells.bytes = Bytes(in.integer());
      if (!in.done()) return malformed();
      size_ += size_of(part.name, cells);
      parked_[part.name] = std::move(cells);
      return {};
    }
  }
  return malformed();
}

}  // namespace skep::agent
