#include "store/dictionaries.h"

#include <zdict.h>
#include <zstd.h>

#include <cassert>
#include <mutex>

namespace skep::store {

struct Dictionaries::One {
  uint16_t id;
  ZSTD_CDict* compress;
  ZSTD_DDict* decompress;

  One(uint16_t number, std::string_view bytes)
      : id(number),
        compress(ZSTD_createCDict(bytes.data(), bytes.size(), kLevel)),
        decompress(ZSTD_createDDict(bytes.data(), bytes.size())) {}
  ~One() {
    ZSTD_freeCDict(compress);
    ZSTD_freeDDict(decompress);
  }
  One(const One&) = delete;
  One& operator=(const One&) = delete;
};

namespace {

struct Contexts {
  ZSTD_CCtx* compress = ZSTD_createCCtx();
  ZSTD_DCtx* decompress = ZSTD_createDCtx();
  ~Contexts() {
    ZSTD_freeCCtx(compress);
    ZSTD_freeDCtx(decompress);
  }
};

Contexts& contexts() {
  static thread_local Contexts mine;
  return mine;
}

}  // namespace

Dictionaries::Dictionaries() = default;
Dictionaries::~Dictionaries() = default;

std::optional<std::string> Dictionaries::train(const std::vector<std::string>& samples) {
  std::string all;
  std::vector<size_t> sizes;
  for (const std::string& sample : samples) {
    all += sample;
    sizes.push_back(sample.size());
  }
  if (all.size() < 4 * kSize) return std::nullopt;
  std::string dictionary(kSize, '\0');
  size_t size = ZDICT_trainFromBuffer(dictionary.data(), dictionary.size(), all.data(), sizes.data(),
                                      static_cast<unsigned>(sizes.size()));
  if (ZDICT_isError(size) != 0) return std::nullopt;
  dictionary.resize(size);
  return dictionary;
}

void Dictionaries::swap(Dictionaries& other) {
  const std::scoped_lock both(mutex_, other.mutex_);
  by_id_.swap(other.by_id_);
  by_kind_.swap(other.by_kind_);
}

void Dictionaries::add(uint16_t id, std::string_view kind, std::string_view bytes) {
  assert(id != 0);
  auto one = std::make_shared<const One>(id, bytes);
  std::unique_lock lock(mutex_);
  by_id_[id] = one;
  by_kind_[std::string(kind)].push_back(std::move(one));
}

size_t Dictionaries::count(std::string_view kind) const {
  std::shared_lock lock(mutex_);
  auto found = by_kind_.find(kind);
  return found == by_kind_.end() ? 0 : found->second.size();
}

uint16_t Dictionaries::next_id() const {
  std::shared_lock lock(mutex_);
  return by_id_.empty() ? uint16_t{1} : static_cast<uint16_t>(by_id_.rbegin()->first + 1);  // wraps to 0: none left
}

Dictionaries::Compressed Dictionaries::compress(std::string_view kind, std::string_view raw) const {
  std::shared_ptr<const One> one;
  {
    std::shared_lock lock(mutex_);
    if (auto found = by_kind_.find(kind); found != by_kind_.end()) one = found->second.back();
  }
  Compressed result;
  result.bytes.resize(ZSTD_compressBound(raw.size()));
  size_t size = one ? ZSTD_compress_usingCDict(contexts().compress, result.bytes.data(), result.bytes.size(),
                                               raw.data(), raw.size(), one->compress)
                    : ZSTD_compressCCtx(contexts().compress, result.bytes.data(), result.bytes.size(), raw.data(),
                                        raw.size(), kLevel);
  if (ZSTD_isError(size) != 0) return {};  // out of memory: stored as it is
  result.bytes.resize(size);
  if (one) result.dictionary = one->id;
  return result;
}

Result<std::string> Dictionaries::decompress(std::string_view bytes, uint16_t dictionary, size_t raw_size) const {
  std::shared_ptr<const One> one;
  if (dictionary != 0) {
    std::shared_lock lock(mutex_);
    auto found = by_id_.find(dictionary);
    if (found == by_id_.end()) {
      return fail(ErrorCode::corrupt, fmt::format("a stored record names dictionary {}, which is missing", dictionary));
    }
    one = found->second;
  }
  // The header may lie about the size: never reserve more than the frame itself admits to.
  if (ZSTD_getFrameContentSize(bytes.data(), bytes.size()) != raw_size) {
    return fail(ErrorCode::corrupt, "a stored record contradicts itself");
  }
  std::string raw(raw_size, '\0');
  size_t size = one ? ZSTD_decompress_usingDDict(contexts().decompress, raw.data(), raw.size(), bytes.data(),
                                                 bytes.size(), one->decompress)
                    : ZSTD_decompressDCtx(contexts().decompress, raw.data(), raw.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(size) != 0 || size != raw_size) {
    return fail(ErrorCode::corrupt, "a stored record can't be decompressed");
  }
  return raw;
}

}  // namespace skep::store
