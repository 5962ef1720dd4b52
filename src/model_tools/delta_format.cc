#include "model_tools/delta_format.h"

#include <xxhash.h>

#include <cassert>
#include <cstring>

namespace skep::model_tools {
namespace {

constexpr char kMagic[8] = {'S', 'K', 'E', 'P', 'D', 'L', 'T', 'A'};
constexpr uint32_t kVersion = 1;

// Little-endian, as the machine is.
template <typename T>
void put(uint8_t*& at, T value) {
  std::memcpy(at, &value, sizeof(T));
  at += sizeof(T);
}
template <typename T>
T take(const uint8_t*& at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  at += sizeof(T);
  return value;
}

}  // namespace

std::array<uint8_t, DeltaHeader::kBytes> DeltaHeader::encode() const {
  std::array<uint8_t, kBytes> bytes{};
  uint8_t* at = bytes.data();
  std::memcpy(at, kMagic, sizeof kMagic);
  at += sizeof kMagic;
  put(at, kVersion);
  put(at, uint32_t{0});
  put(at, old_size);
  put(at, new_size);
  put(at, old_hash);
  put(at, new_hash);
  put(at, records);
  at = bytes.data() + kBytes - 8;
  put(at, static_cast<uint64_t>(XXH3_64bits(bytes.data(), kBytes - 8)));
  return bytes;
}

Result<DeltaHeader> DeltaHeader::decode(std::span<const uint8_t> bytes, const std::string& what) {
  if (bytes.size() < kBytes || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0) {
    return fail(ErrorCode::corrupt, what + ": this is no delta file");
  }
  const uint8_t* at = bytes.data() + sizeof kMagic;
  if (const auto version = take<uint32_t>(at); version != kVersion) {
    return fail(ErrorCode::unsupported,
                fmt::format("{}: a delta file of version {}; we know {}", what, version, kVersion));
  }
  at += 4;
  DeltaHeader header;
  header.old_size = take<uint64_t>(at);
  header.new_size = take<uint64_t>(at);
  header.old_hash = take<Sha256>(at);
  header.new_hash = take<Sha256>(at);
  header.records = take<uint64_t>(at);
  at = bytes.data() + kBytes - 8;
  if (take<uint64_t>(at) != XXH3_64bits(bytes.data(), kBytes - 8)) {
    return fail(ErrorCode::corrupt, what + ": its header is damaged");
  }
  return header;
}

std::array<uint8_t, DeltaRecord::kBytes> DeltaRecord::encode() const {
  std::array<uint8_t, kBytes> bytes{};
  uint8_t* at = bytes.data();
  put(at, static_cast<uint8_t>(kind));
  put(at, stride);
  put(at, phase);
  put(at, uint8_t{0});
  put(at, length);
  put(at, old_offset);
  put(at, payload);
  put(at, uint32_t{0});
  put(at, hash);
  put(at, static_cast<uint64_t>(XXH3_64bits(bytes.data(), kBytes - 8)));
  assert(at == bytes.data() + kBytes);
  return bytes;
}

Result<DeltaRecord> DeltaRecord::decode(std::span<const uint8_t> bytes, uint64_t old_size, const std::string& what) {
  assert(bytes.size() == kBytes);
  const uint8_t* at = bytes.data() + kBytes - 8;
  const bool whole = take<uint64_t>(at) == XXH3_64bits(bytes.data(), kBytes - 8);
  at = bytes.data();
  DeltaRecord record;
  const auto kind = take<uint8_t>(at);
  record.stride = take<uint8_t>(at);
  record.phase = take<uint8_t>(at);
  at += 1;
  record.length = take<uint32_t>(at);
  record.old_offset = take<uint64_t>(at);
  record.payload = take<uint32_t>(at);
  at += 4;
  record.hash = take<uint64_t>(at);
  record.kind = static_cast<RecordKind>(kind);
  const bool known = kind >= 1 && kind <= 3;
  const bool uses_old = record.kind != RecordKind::plain;
  const bool inside = !uses_old || (record.old_offset <= old_size && record.length <= old_size - record.old_offset);
  const bool stepped = (record.stride == 1 || record.stride == 2 || record.stride == 4) && record.phase < record.stride;
  const bool sized =
      record.length > 0 && record.length <= kMostLength && record.payload <= kMostLength + (kMostLength >> 7) + 512;
  const bool empty = (record.kind == RecordKind::copy) == (record.payload == 0);
  if (!whole || !known || !inside || !stepped || !sized || !empty) {
    return fail(ErrorCode::corrupt, what + ": a record is damaged");
  }
  return record;
}

}  // namespace skep::model_tools
