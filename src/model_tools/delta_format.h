#pragma once
// The bytes of a delta file; doc/model-delta.md describes them. Read from anywhere, so everything is checked.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace skep::model_tools {

using Sha256 = std::array<uint8_t, 32>;

struct DeltaHeader {
  static constexpr size_t kBytes = 128;
  uint64_t old_size = 0, new_size = 0;
  Sha256 old_hash{}, new_hash{};
  uint64_t records = 0;

  [[nodiscard]] std::array<uint8_t, kBytes> encode() const;
  // corrupt: no delta, or a damaged one; unsupported: of another version.
  static Result<DeltaHeader> decode(std::span<const uint8_t> bytes, const std::string& what);
};

enum class RecordKind : uint8_t {
  copy = 1,        // `length` bytes of the old file
  plain = 2,       // the payload, compressed
  difference = 3,  // the payload, compressed, is to be added to `length` bytes of the old file (delta_coding.h)
};

// One run of the new file, in its order.
struct DeltaRecord {
  static constexpr size_t kBytes = 40;
  static constexpr uint32_t kMostLength = 8 << 20;  // what patch() holds in memory
  RecordKind kind = RecordKind::copy;
  uint8_t stride = 1, phase = 0;  // of a difference
  uint32_t length = 0;            // in the new file
  uint64_t old_offset = 0;        // copy, difference
  uint32_t payload = 0;           // bytes that follow
  uint64_t hash = 0;              // XXH3-64 of the new file's bytes

  [[nodiscard]] std::array<uint8_t, kBytes> encode() const;
  // corrupt, also when it reaches beyond the old file or is longer than it may be.
  static Result<DeltaRecord> decode(std::span<const uint8_t> bytes, uint64_t old_size, const std::string& what);
};

}  // namespace skep::model_tools
