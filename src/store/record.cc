#include "store/record.h"

#include <xxhash.h>

#include <cassert>
#include <memory>

#include "store/dictionaries.h"
#include "store/encoding.h"

namespace skep::store {
namespace {

constexpr uint8_t kVersion = 1;
enum Codec : uint8_t { kStored = 0, kZstd = 1, kZstdDictionary = 2 };

struct HashFree {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

uint64_t checksum(std::string_view head, std::string_view key, std::string_view payload) {
  static thread_local std::unique_ptr<XXH3_state_t, HashFree> state(XXH3_createState());
  XXH3_64bits_reset(state.get());
  XXH3_64bits_update(state.get(), head.data(), head.size());
  XXH3_64bits_update(state.get(), key.data(), key.size());
  XXH3_64bits_update(state.get(), payload.data(), payload.size());
  return XXH3_64bits_digest(state.get());
}

}  // namespace

std::string encode_record(std::string_view kind, std::string_view key, std::string_view value,
                          const Dictionaries& dictionaries) {
  assert(static_cast<int64_t>(value.size()) <= kLargestValue.count);
  Dictionaries::Compressed compressed;
  uint8_t codec = kStored;
  std::string_view payload = value;
  if (value.size() >= kLeastCompressed) {
    compressed = dictionaries.compress(kind, value);
    if (!compressed.bytes.empty() && compressed.bytes.size() < value.size()) {
      codec = compressed.dictionary != 0 ? kZstdDictionary : kZstd;
      payload = compressed.bytes;
    }
  }
  Encoder head;
  head.fixed(kVersion).fixed(codec).fixed(codec == kZstdDictionary ? compressed.dictionary : uint16_t{0});
  head.fixed(static_cast<uint32_t>(value.size()));
  std::string record = head.take();
  uint64_t sum = checksum(record, key, payload);
  record += Encoder().fixed(sum).take();
  record += payload;
  return record;
}

bool is_intact(std::string_view key, std::string_view record) {
  if (record.size() < kRecordHeader) return false;
  const auto sum = Decoder(record.substr(8)).fixed<uint64_t>();
  return sum == checksum(record.substr(0, 8), key, record.substr(kRecordHeader));
}

Result<std::string> decode_record(std::string_view key, std::string_view record, const Dictionaries& dictionaries) {
  if (record.size() < kRecordHeader) return fail(ErrorCode::corrupt, "a stored record is cut short");
  Decoder head(record.substr(0, kRecordHeader));
  auto version = head.fixed<uint8_t>();
  auto codec = head.fixed<uint8_t>();
  auto dictionary = head.fixed<uint16_t>();
  auto raw_size = head.fixed<uint32_t>();
  auto sum = head.fixed<uint64_t>();
  std::string_view payload = record.substr(kRecordHeader);
  if (version > kVersion) {
    return fail(ErrorCode::unsupported, fmt::format("a stored record has version {}", version),
                "it was written by a newer skep");
  }
  if (sum != checksum(record.substr(0, 8), key, payload)) {
    return fail(ErrorCode::corrupt, "a stored record fails its checksum");
  }
  auto malformed = [] { return fail(ErrorCode::corrupt, "a stored record contradicts itself"); };
  if (version != kVersion || codec > kZstdDictionary || raw_size > kLargestValue.count) return malformed();
  if (codec == kStored) {
    if (payload.size() != raw_size) return malformed();
    return std::string(payload);
  }
  return dictionaries.decompress(payload, codec == kZstdDictionary ? dictionary : uint16_t{0}, raw_size);
}

}  // namespace skep::store
