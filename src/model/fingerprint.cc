#include "model/fingerprint.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

namespace skep::model {
namespace {

constexpr int64_t kSamples = 64;
constexpr int64_t kSampleBytes = 4096;
constexpr int64_t kChunk = 256 * 1024;

class Hash {
 public:
  Hash() : state_(XXH3_createState()) {
    if (!state_) throw std::bad_alloc();
    XXH3_128bits_reset(state_.get());
  }
  void add(const void* data, size_t bytes) { XXH3_128bits_update(state_.get(), data, bytes); }
  [[nodiscard]] std::string hex() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

}  // namespace

Result<std::string> fingerprint(ByteSource& source, const GgufFile& file) {
  Hash hash;
  std::vector<std::byte> buffer(static_cast<size_t>(kChunk));
  const auto add = [&](int64_t begin, int64_t end) -> Status {
    for (int64_t at = begin; at < end; at += kChunk) {
      const auto part = std::span(buffer).first(static_cast<size_t>(std::min(kChunk, end - at)));
      SKEP_CHECK(source.read(at, part));
      hash.add(part.data(), part.size());
    }
    return {};
  };
  const int64_t size = source.size();
  hash.add(&size, sizeof(size));
  const int64_t header = std::min(file.data_offset, size);
  SKEP_CHECK(add(0, header));
  const int64_t data = size - header;
  if (data <= kSamples * kSampleBytes) {
    SKEP_CHECK(add(header, size));
    return hash.hex();
  }
  const int64_t step = (data - kSampleBytes) / (kSamples - 1);
  for (int64_t i = 0; i < kSamples; ++i) {
    const int64_t at = i == kSamples - 1 ? size - kSampleBytes : header + i * step;
    SKEP_CHECK(add(at, at + kSampleBytes));
  }
  return hash.hex();
}

std::string combine_fingerprints(std::span<const std::string> parts) {
  if (parts.size() == 1) return parts.front();
  Hash hash;
  for (const std::string& part : parts) hash.add(part.data(), part.size());
  return hash.hex();
}

}  // namespace skep::model
