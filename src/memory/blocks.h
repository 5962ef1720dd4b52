#pragma once
// Core memory: small labelled texts that stand in an agent's prompt ("persona", "user", "task"), as in Letta. A block
// belongs to one agent or is shared; it may be read-only for agents, and has a version that grows with each change, so
// that two writers who read the same version can't both win.
//
// Kept in a KeyValue, namespace "blocks": key <owner>/<label>. Calls block; thread-safe within this process.

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/key_value.h"

namespace skep::memory {

struct Block {
  std::string owner;  // an agent; empty: shared
  std::string label;  // letters, digits, - _ . ; at most 64
  std::string value;
  std::string description;  // what belongs in it, for whoever writes it
  size_t limit = 2000;      // bytes of the value
  bool read_only = false;   // agents may read it; people may write
  uint64_t version = 0;     // 0: not there yet
  WallTime changed{};
  friend bool operator==(const Block&, const Block&) = default;
};

enum class Writer { agent, person };

class Blocks {
 public:
  static constexpr size_t kMostBytes = 64U << 10U;  // of a value, whatever its limit
  static constexpr size_t kMostPerOwner = 32;

  Blocks(store::KeyValue& values, const Clock& clock) : values_(values), clock_(clock) {}

  // Those of the agent and the shared ones, by owner and label. An agent's own block hides the shared one of its label.
  Result<std::vector<Block>> of(std::string_view agent);
  Result<std::optional<Block>> get(std::string_view owner, std::string_view label);
  // Writes block.value, description, limit and read_only (the last two only as a person). block.version is the version
  // that was read, 0 for a new one; any other one there is a conflict. Gives the block as it stands now.
  // permission_denied: an agent and a read-only block; too_large: over the limit.
  Result<Block> put(Block block, Writer writer);
  Result<bool> erase(std::string_view owner, std::string_view label);
  Result<size_t> forget(std::string_view owner);

 private:
  Result<std::vector<Block>> owned_by(std::string_view owner);

  store::KeyValue& values_;
  const Clock& clock_;
  std::mutex mutex_;  // reading a version and writing the next are one step
};

// The blocks as they stand in a prompt; empty when there are none.
std::string render(const std::vector<Block>& blocks);

}  // namespace skep::memory
