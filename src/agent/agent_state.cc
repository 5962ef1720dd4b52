#include "agent/agent_state.h"

#include <algorithm>

namespace skep::agent {
namespace {

constexpr int64_t kNode = 96;  // bytes of a map's node and the strings' own, about

Status check_name(std::string_view what, std::string_view name) {
  bool plain = std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
  if (!name.empty() && name.size() <= AgentState::kLongestName && plain) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no name for a {}", name.substr(0, 200), what),
              fmt::format("1 to {} bytes without control characters", AgentState::kLongestName));
}

Status check_text(std::string_view what, size_t size) {
  if (static_cast<int64_t>(size) <= AgentState::kLargestText.count) return {};
  return fail(ErrorCode::too_large, fmt::format("a {} of {} bytes is too long", what, size),
              fmt::format("at most {}", to_string(AgentState::kLargestText)));
}

}  // namespace

Bytes AgentState::size_of(const Turn& turn) {
  const language::Message& m = turn.message;
  size_t bytes = sizeof turn + m.content.size() + m.reasoning.size() + m.tool_call_id.size() + m.name.size();
  for (const auto& call : m.tool_calls)
    bytes += sizeof call + call.id.size() + call.name.size() + call.arguments.size();
  return Bytes(static_cast<int64_t>(bytes));
}
Bytes AgentState::size_of(const Letter& letter) {
  return Bytes(static_cast<int64_t>(sizeof letter + letter.from.size() + letter.conversation.size() +
                                    letter.text.size() + letter.failure.size()));
}
Bytes AgentState::size_of(const std::string& name, const MemoryBlock& block) {
  return Bytes(kNode + static_cast<int64_t>(name.size() + block.value.size()));
}
Bytes AgentState::size_of(const std::string& name, const ParkedCells& cells) {
  return Bytes(kNode + static_cast<int64_t>(name.size() + cells.model_hash.size() + sizeof cells));
}

Conversation& AgentState::begin_conversation(const std::string& name) {
  auto [place, began] = conversations_.try_emplace(name);
  if (began) size_ += Bytes(kNode + static_cast<int64_t>(name.size()));
  return place->second;
}

size_t Conversation::turns() const {
  size_t count = 0;
  for (const auto& [number, chunk] : chunks) count += chunk.turns.size();
  return count;
}

std::vector<language::Message> Conversation::messages() const {
  std::vector<language::Message> all;
  for (const auto& [number, chunk] : chunks) {
    for (const Turn& turn : chunk.turns) all.push_back(turn.message);
  }
  return all;
}

const Conversation* AgentState::conversation(const std::string& name) const {
  auto found = conversations_.find(name);
  return found == conversations_.end() ? nullptr : &found->second;
}

void AgentState::was_active(WallTime now) {
  if (core_.born == WallTime{}) core_.born = now;
  core_.last_active = now;
  dirty_.insert({Part::core, "", 0});
}

Result<uint64_t> AgentState::deliver(Letter letter) {
  SKEP_CHECK(check_name("conversation", letter.conversation));
  SKEP_CHECK(check_text("message", letter.text.size() + letter.from.size()));
  if (mailbox_.size() >= kMostLetters) {
    return fail(ErrorCode::overloaded, fmt::format("its mailbox is full: {} letters wait", mailbox_.size()),
                "wait until some are answered");
  }
  letter.id = core_.next_letter++;
  uint64_t id = letter.id;
  size_ += size_of(letter);
  mailbox_.push_back(std::move(letter));
  dirty_.insert({Part::core, "", 0});
  dirty_.insert({Part::letter, "", id});
  return id;
}

bool AgentState::take_letter(uint64_t id) {
  auto found = std::find_if(mailbox_.begin(), mailbox_.end(), [&](const Letter& letter) { return letter.id == id; });
  if (found == mailbox_.end()) return false;
  size_ -= size_of(*found);
  mailbox_.erase(found);
  dirty_.insert({Part::letter, "", id});
  return true;
}

void AgentState::note_failure(uint64_t id, std::string why) {
  for (Letter& letter : mailbox_) {
    if (letter.id != id) continue;
    size_ -= size_of(letter);
    ++letter.attempts;
    letter.failure = std::move(why);
    size_ += size_of(letter);
    dirty_.insert({Part::letter, "", id});
  }
}

Status AgentState::say(const std::string& name, Turn turn) {
  SKEP_CHECK(check_name("conversation", name));
  Bytes size = size_of(turn);
  SKEP_CHECK(check_text("message", static_cast<size_t>(size.count)));
  if (conversations_.size() >= kMostConversations && !conversations_.contains(name)) {
    return fail(ErrorCode::overloaded, fmt::format("it has {} conversations already", conversations_.size()),
                "let one be forgotten");
  }
  if (!conversations_.contains(name)) dirty_.insert({Part::conversation, name, 0});
  Conversation& talk = begin_conversation(name);
  if (talk.chunks.empty()) talk.chunks[1];
  auto last = std::prev(talk.chunks.end());
  bool full = last->second.turns.size() >= Conversation::kTurnsOfChunk ||
              (!last->second.turns.empty() && last->second.size + size > Conversation::kBytesOfChunk);
  if (full) last = talk.chunks.try_emplace(last->first + 1).first;
  last->second.turns.push_back(std::move(turn));
  last->second.size += size;
  size_ += size;
  ++core_.turns;
  dirty_.insert({Part::chunk, name, last->first});
  dirty_.insert({Part::core, "", 0});

  Bytes whole;
  for (const auto& [number, chunk] : talk.chunks) whole += chunk.size;
  while (whole > kLargestConversation && talk.chunks.size() > 1) {
    auto oldest = talk.chunks.begin();
    whole -= oldest->second.size;
    size_ -= oldest->second.size;
    talk.dropped_turns += oldest->second.turns.size();
    dirty_.insert({Part::chunk, name, oldest->first});
    dirty_.insert({Part::conversation, name, 0});
    talk.chunks.erase(oldest);
  }
  return {};
}

void AgentState::forget_conversation(const std::string& name) {
  auto found = conversations_.find(name);
  if (found == conversations_.end()) return;
  for (const auto& [number, chunk] : found->second.chunks) {
    size_ -= chunk.size;
    dirty_.insert({Part::chunk, name, number});
  }
  size_ -= Bytes(kNode + static_cast<int64_t>(name.size()));
  dirty_.insert({Part::conversation, name, 0});
  conversations_.erase(found);
}

Status AgentState::write_block(const std::string& label, std::string value, std::optional<uint64_t> expected) {
  SKEP_CHECK(check_name("memory block", label));
  SKEP_CHECK(check_text("memory block", value.size()));
  auto found = blocks_.find(label);
  if (found == blocks_.end() && blocks_.size() >= kMostBlocks) {
    return fail(ErrorCode::overloaded, fmt::format("it has {} memory blocks already", blocks_.size()));
  }
  uint64_t version = found == blocks_.end() ? 0 : found->second.version;
  if (found != blocks_.end() && found->second.read_only) {
    return fail(ErrorCode::conflict, fmt::format("the memory block '{}' is read-only", label));
  }
  if (expected && *expected != version) {
    return fail(ErrorCode::conflict,
                fmt::format("the memory block '{}' has version {}, not {}", label, version, *expected),
                "read it again");
  }
  MemoryBlock& block = blocks_[label];
  if (version > 0) size_ -= size_of(label, block);
  block.value = std::move(value);
  block.version = version + 1;
  size_ += size_of(label, block);
  dirty_.insert({Part::block, label, 0});
  return {};
}

Status AgentState::protect_block(const std::string& label, bool read_only) {
  auto found = blocks_.find(label);
  if (found == blocks_.end()) return fail(ErrorCode::not_found, fmt::format("there is no memory block '{}'", label));
  found->second.read_only = read_only;
  dirty_.insert({Part::block, label, 0});
  return {};
}

void AgentState::note_parked(std::map<std::string, ParkedCells> files) {
  while (files.size() > kMostParked) {
    files.erase(std::max_element(files.begin(), files.end(),
                                 [](const auto& a, const auto& b) { return a.second.begin < b.second.begin; }));
  }
  for (const auto& [file, cells] : parked_) {
    const auto now = files.find(file);
    if (now == files.end() || now->second != cells) dirty_.insert({Part::parked, file, 0});
    size_ -= size_of(file, cells);
  }
  for (const auto& [file, cells] : files) {
    if (!parked_.contains(file)) dirty_.insert({Part::parked, file, 0});
    size_ += size_of(file, cells);
  }
  parked_ = std::move(files);
}

std::vector<AgentState::PartName> AgentState::all_parts() const {
  std::vector<PartName> all = {{Part::core, "", 0}};
  for (const Letter& letter : mailbox_) all.push_back({Part::letter, "", letter.id});
  for (const auto& [name, talk] : conversations_) {
    all.push_back({Part::conversation, name, 0});
    for (const auto& [number, chunk] : talk.chunks) all.push_back({Part::chunk, name, number});
  }
  for (const auto& [label, block] : blocks_) all.push_back({Part::block, label, 0});
  for (const auto& [name, cells] : parked_) all.push_back({Part::parked, name, 0});
  return all;
}

}  // namespace skep::agent
