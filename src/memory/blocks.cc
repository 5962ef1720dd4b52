#include "memory/blocks.h"

#include <algorithm>
#include <cctype>

#include "memory/byte_codec.h"

namespace skep::memory {
namespace {

constexpr std::string_view kSpace = "blocks";
constexpr uint8_t kFormat = 1;
constexpr size_t kLongestLabel = 64;
constexpr size_t kLongestDescription = 1000;

std::string key_of(std::string_view owner, std::string_view label) {
  return std::string(owner) + '/' + std::string(label);
}

std::string encode(const Block& b) {
  ByteWriter out;
  out.put(kFormat);
  out.put_text(b.owner);
  out.put_text(b.label);
  out.put_text(b.value);
  out.put_text(b.description);
  out.put(static_cast<uint64_t>(b.limit));
  out.put(static_cast<uint8_t>(b.read_only ? 1 : 0));
  out.put(b.version);
  out.put(static_cast<int64_t>(b.changed.time_since_epoch().count()));
  return out.take();
}

Result<Block> decode(std::string_view bytes) {
  ByteReader in(bytes);
  Block b;
  const auto format = in.get<uint8_t>();
  b.owner = in.get_text();
  b.label = in.get_text();
  b.value = in.get_text();
  b.description = in.get_text();
  b.limit = in.get<uint64_t>();
  b.read_only = in.get<uint8_t>() == 1;
  b.version = in.get<uint64_t>();
  b.changed = WallTime(Duration(in.get<int64_t>()));
  if (format != kFormat || !in.whole()) return fail(ErrorCode::corrupt, "a memory block does not decode");
  return b;
}

Status check(const Block& b) {
  const auto invalid = [](std::string why) { return fail(ErrorCode::invalid_argument, std::move(why)); };
  const bool plain = std::all_of(b.label.begin(), b.label.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  });
  if (b.label.empty() || b.label.size() > kLongestLabel || !plain) {
    return invalid(fmt::format("a block's label has 1 to {} letters, digits, '-', '_' and '.'", kLongestLabel));
  }
  if (b.owner.size() + 1 + b.label.size() > store::KeyValue::kLongestKey || b.owner.find('/') != b.owner.npos) {
    return invalid("a block's owner is the name of an agent");
  }
  if (b.limit == 0 || b.limit > Blocks::kMostBytes || b.description.size() > kLongestDescription) {
    return invalid(fmt::format("a block's limit is 1 to {} bytes, its description at most {}", Blocks::kMostBytes,
                               kLongestDescription));
  }
  if (b.value.size() > b.limit) {
    return fail(ErrorCode::too_large,
                fmt::format("block {}: {} bytes, its limit is {}", b.label, b.value.size(), b.limit),
                "shorten the text, or move facts to long-term memory");
  }
  return {};
}

}  // namespace

Result<std::optional<Block>> Blocks::get(std::string_view owner, std::string_view label) {
  SKEP_TRY(const std::optional<std::string> bytes, values_.get(kSpace, key_of(owner, label)));
  if (!bytes) return std::optional<Block>();
  SKEP_TRY(Block block, decode(*bytes));
  return std::optional(std::move(block));
}

Result<std::vector<Block>> Blocks::owned_by(std::string_view owner) {
  std::vector<Block> blocks;
  SKEP_TRY(const std::vector<std::string> keys, values_.keys(kSpace, std::string(owner) + '/', {}, kMostPerOwner));
  for (const std::string& key : keys) {
    SKEP_TRY(const std::optional<std::string> bytes, values_.get(kSpace, key));
    if (!bytes) continue;
    SKEP_TRY(Block block, decode(*bytes));
    blocks.push_back(std::move(block));
  }
  return blocks;
}

Result<std::vector<Block>> Blocks::of(std::string_view agent) {
  SKEP_TRY(std::vector<Block> blocks, owned_by(""));
  if (agent.empty()) return blocks;
  SKEP_TRY(std::vector<Block> own, owned_by(agent));
  std::erase_if(blocks, [&](const Block& shared) {
    return std::any_of(own.begin(), own.end(), [&](const Block& b) { return b.label == shared.label; });
  });
  blocks.insert(blocks.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
  return blocks;
}

Result<Block> Blocks::put(Block block, Writer writer) {
  const std::lock_guard lock(mutex_);
  SKEP_TRY(const std::optional<Block> there, get(block.owner, block.label));
  const uint64_t version = there ? there->version : 0;
  if (version != block.version) {
    return fail(ErrorCode::conflict,
                fmt::format("block {} is at version {}, not {}", block.label, version, block.version),
                "read it again and repeat the change");
  }
  if (writer == Writer::agent && there) {
    if (there->read_only) return fail(ErrorCode::permission_denied, fmt::format("block {} is read-only", block.label));
    block.read_only = there->read_only;
    block.limit = there->limit;
  }
  if (writer == Writer::agent && !there && block.read_only) {
    return fail(ErrorCode::permission_denied, "an agent makes no read-only block");
  }
  SKEP_CHECK(check(block));
  if (!there) {
    SKEP_TRY(const std::vector<std::string> keys, values_.keys(kSpace, block.owner + '/', {}, kMostPerOwner));
    if (keys.size() == kMostPerOwner) {
      return fail(ErrorCode::too_large,
                  fmt::format("there are {} blocks already, the most there may be", kMostPerOwner));
    }
  }
  block.version = version + 1;
  block.changed = clock_.wall();
  SKEP_CHECK(values_.put(kSpace, key_of(block.owner, block.label), encode(block)));
  return block;
}

Result<bool> Blocks::erase(std::string_view owner, std::string_view label) {
  const std::lock_guard lock(mutex_);
  return values_.erase(kSpace, key_of(owner, label));
}

Result<size_t> Blocks::forget(std::string_view owner) {
  const std::lock_guard lock(mutex_);
  SKEP_TRY(const std::vector<std::string> keys, values_.keys(kSpace, std::string(owner) + '/', {}, kMostPerOwner));
  for (const std::string& key : keys) SKEP_CHECK(values_.erase(kSpace, key));
  return keys.size();
}

std::string render(const std::vector<Block>& blocks) {
  std::string text;
  for (const Block& block : blocks) {
    if (block.value.empty()) continue;
    text += fmt::format("{}<{}>\n{}\n</{}>", text.empty() ? "" : "\n", block.label, block.value, block.label);
  }
  return text;
}

}  // namespace skep::memory
