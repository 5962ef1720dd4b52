#include "store/record_batch.h"

namespace skep::store {

Status RecordBatch::add(std::string_view key, std::string_view record) {
  size_ = size_ + Bytes(static_cast<int64_t>(key.size() + record.size()));
  records_.emplace_back(key, record);
  return size_ >= most_ ? write() : Status();
}

Status RecordBatch::write() {
  const Status written = to_.write([&](LmdbEnvironment::Writer& writer) -> Status {
    for (const auto& [key, record] : records_) SKEP_CHECK(writer.put(key, record));
    return {};
  });
  if (!written) return written;
  records_.clear();
  size_ = Bytes();
  return {};
}

}  // namespace skep::store
