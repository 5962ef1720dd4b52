#pragma once
// One stored record: a header that names its own form, a checksum over header, key and payload, and the payload,
// compressed where that pays. doc/state.md has the layout. A record that was changed, cut or moved to another key is
// told from a good one; nothing of it is used.

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace skep::store {

class Dictionaries;

inline constexpr size_t kRecordHeader = 16;     // bytes
inline constexpr Bytes kLargestValue = 16_MiB;  // uncompressed
inline constexpr size_t kLeastCompressed = 64;  // smaller values are stored as they are

// `kind` chooses the dictionary, if one was trained for it. value.size() <= kLargestValue.
std::string encode_record(std::string_view kind, std::string_view key, std::string_view value,
                          const Dictionaries& dictionaries);

// corrupt: it fails its checks; unsupported: a later version's.
Result<std::string> decode_record(std::string_view key, std::string_view record, const Dictionaries& dictionaries);

// Whether the record's checksum is right, whatever it holds.
bool is_intact(std::string_view key, std::string_view record);

}  // namespace skep::store
