// Stored records, journal bodies and key-value entries: whatever bytes the disk gives back.
#include <cassert>
#include <cstdint>
#include <string_view>

#include "store/dictionaries.h"
#include "store/encoding.h"
#include "store/record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skep::store;
  static const Dictionaries dictionaries;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  auto read = decode_record("key", input, dictionaries);
  (void)read;
  // What was written reads back, whatever it is.
  std::string record = encode_record("kind", "key", input, dictionaries);
  auto again = decode_record("key", record, dictionaries);
  if (!again || *again != input) __builtin_trap();
  Decoder decoder(input);
  while (decoder.left() > 0) {
    switch (decoder.fixed<uint8_t>() % 4) {
      case 0:
        (void)decoder.varint();
        break;
      case 1:
        (void)decoder.text();
        break;
      case 2:
        (void)decoder.integer();
        break;
      default:
        (void)decoder.fixed<uint32_t>();
    }
  }
  return 0;
}
