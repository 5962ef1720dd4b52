// Any bytes as a log or snapshot of facts: read without a crash, and what decodes encodes to something that decodes to
// the same again. The first byte chooses: a file as it is, a record's payload, or a graph of vectors.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "memory/fact_log.h"
#include "memory/vector_index.h"

using namespace skep::memory;

namespace {

void check(const FactRecord& record) {
  const auto again = decode(static_cast<uint32_t>(record.index()), encode(record));
  if (!again || !(*again == record)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: {
      const auto scan = scan_facts(bytes, FactFileKind::log, [](FactRecord&& record) { check(record); });
      if (scan && scan->end + scan->torn != bytes.size()) std::abort();
      break;
    }
    case 1:
      if (!bytes.empty()) {
        if (const auto record = decode(static_cast<uint8_t>(bytes[0]) % 8, bytes.substr(1))) check(*record);
      }
      break;
    case 2: {  // with a header that is right
      const std::string file = fact_file_header(FactFileKind::snapshot) + std::string(bytes);
      if (!scan_facts(file, FactFileKind::snapshot, [](FactRecord&& record) { check(record); })) std::abort();
      break;
    }
    case 3: {
      VectorIndex index(32);
      if (index.load(bytes)) static_cast<void>(index.search(quantize(std::vector<float>(32, 1.0F)), 3));
      break;
    }
  }
  return 0;
}
