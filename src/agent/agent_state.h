#pragma once
// What an agent is besides its spec: everything that it must find again when it wakes. Kept in parts, and each part is
// written to the store only when it changed: the changing calls note what they touched (dirty()), AgentStore writes it.
//
// Plain data, no locks: lives on the event loop. Sizes are bounded; who is over a bound is told, or the oldest goes,
// as each call says.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"
#include "mind/language/request.h"

namespace skep::agent {

// A message in the mailbox: it waits there, also through a crash, until it is answered.
struct Letter {
  uint64_t id = 0;
  std::string from;          // who sent it: a caller, another agent
  std::string conversation;  // that it belongs to
  std::string text;
  WallTime sent{};
  int attempts = 0;     // to answer it
  std::string failure;  // why it can't be answered; it stays until somebody takes it away
  int max_tokens = 0;   // of its answer; 0: as the agent does
  std::optional<float> temperature = {};
  friend bool operator==(const Letter&, const Letter&) = default;
};

struct Turn {
  language::Message message;
  WallTime at{};
  friend bool operator==(const Turn&, const Turn&) = default;
};

// Turns in order, in chunks: a turn that is added rewrites its chunk and no other.
struct Conversation {
  static constexpr size_t kTurnsOfChunk = 16;
  static constexpr Bytes kBytesOfChunk = 8_KiB;

  struct Chunk {
    std::vector<Turn> turns;
    Bytes size;
    friend bool operator==(const Chunk&, const Chunk&) = default;
  };
  std::map<uint64_t, Chunk> chunks;  // by number; those that were dropped are missing at the front
  uint64_t dropped_turns = 0;        // with them

  [[nodiscard]] size_t turns() const;
  [[nodiscard]] std::vector<language::Message> messages() const;
  friend bool operator==(const Conversation&, const Conversation&) = default;
};

// Core memory: a labelled text that the agent always sees.
struct MemoryBlock {
  std::string value;
  bool read_only = false;
  uint64_t version = 1;  // counts changes
  friend bool operator==(const MemoryBlock&, const MemoryBlock&) = default;
};

// KV cells of the agent's context that an engine parked in a file (doc/parked.md): a reference. Never trusted: an
// engine believes what the file says of itself, under its checksums, and the file may be gone at any time.
struct ParkedCells {
  std::string model_hash;
  int64_t begin = 0, tokens = 0;  // of the context's tokens: those of [begin, begin + tokens)
  Bytes bytes;                    // of the cells
  friend bool operator==(const ParkedCells&, const ParkedCells&) = default;
};

struct Core {
  WallTime born{}, last_active{};
  uint64_t next_letter = 1;
  int64_t turns = 0;  // ever
  friend bool operator==(const Core&, const Core&) = default;
};

class AgentState {
 public:
  static constexpr size_t kMostLetters = 1000;
  static constexpr size_t kMostConversations = 1000;
  static constexpr size_t kMostBlocks = 64;
  static constexpr size_t kMostParked = 256;             // files; of more, those that begin last are not noted
  static constexpr size_t kLongestName = 128;            // of a conversation or a label, bytes
  static constexpr Bytes kLargestText = 1_MiB;           // of a letter, a turn or a block
  static constexpr Bytes kLargestConversation = 16_MiB;  // beyond it, its oldest chunks go

  // Parts by what they are and what they are called within their kind.
  enum class Part : uint8_t { core, letter, chunk, conversation, block, parked };
  struct PartName {
    Part part = Part::core;
    std::string name;     // conversation, label or file
    uint64_t number = 0;  // letter or chunk
    friend auto operator<=>(const PartName&, const PartName&) = default;
  };

  [[nodiscard]] const Core& core() const { return core_; }
  [[nodiscard]] const std::deque<Letter>& mailbox() const { return mailbox_; }
  [[nodiscard]] const std::map<std::string, Conversation>& conversations() const { return conversations_; }
  [[nodiscard]] const std::map<std::string, MemoryBlock>& blocks() const { return blocks_; }
  [[nodiscard]] const std::map<std::string, ParkedCells>& parked() const { return parked_; }  // by file
  [[nodiscard]] const Conversation* conversation(const std::string& name) const;              // null: it never began

  void was_active(WallTime now);
  // The letter's id. overloaded: the mailbox is full; too_large; invalid_argument.
  Result<uint64_t> deliver(Letter letter);
  bool take_letter(uint64_t id);  // false: no such letter
  void note_failure(uint64_t id, std::string why);
  Status say(const std::string& conversation, Turn turn);
  void forget_conversation(const std::string& name);
  // conflict: another version than `expected`, or read-only.
  Status write_block(const std::string& label, std::string value, std::optional<uint64_t> expected = {});
  Status protect_block(const std::string& label, bool read_only);
  // What stands in files now, by file; what differs from the last time is dirty.
  void note_parked(std::map<std::string, ParkedCells> files);

  [[nodiscard]] Bytes size() const { return size_; }  // in memory, measured along
  [[nodiscard]] const std::set<PartName>& dirty() const { return dirty_; }
  void clean() { dirty_.clear(); }

  // Each part as bytes; nullopt: it is gone (its record has to go, too).
  [[nodiscard]] std::optional<std::string> encode(const PartName& part) const;
  // Puts a part in its place; corrupt.
  Status decode(const PartName& part, std::string_view bytes);
  [[nodiscard]] std::vector<PartName> all_parts() const;

  // What the agent would find again: everything but the notes about what to write.
  friend bool operator==(const AgentState& a, const AgentState& b) {
    return a.core_ == b.core_ && a.mailbox_ == b.mailbox_ && a.conversations_ == b.conversations_ &&
           a.blocks_ == b.blocks_ && a.parked_ == b.parked_;
  }

 private:
  static Bytes size_of(const Turn& turn);
  static Bytes size_of(const Letter& letter);
  static Bytes size_of(const std::string& name, const MemoryBlock& block);
  static Bytes size_of(const std::string& name, const ParkedCells& cells);
  Conversation& begin_conversation(const std::string& name);

  Core core_;
  std::deque<Letter> mailbox_;  // by id
  std::map<std::string, Conversation> conversations_;
  std::map<std::string, MemoryBlock> blocks_;
  std::map<std::string, ParkedCells> parked_;
  std::set<PartName> dirty_;
  Bytes size_ = Bytes(512);
};

}  // namespace skep::agent
