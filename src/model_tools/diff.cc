#include <ggml.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <cassert>
#include <filesystem>
#include <unordered_map>

#include "base/temporary_file.h"
#include "model/gguf.h"
#include "model_tools/chunker.h"
#include "model_tools/delta.h"
#include "model_tools/delta_coding.h"
#include "model_tools/file_hash.h"

namespace skep::model_tools {
namespace {

constexpr size_t kWindow = 4 << 20;   // of a file in memory
constexpr uint64_t kPiece = 1 << 20;  // of the new file in one record
constexpr double kGoodEnough = 0.6;   // a difference this small needs no comparison with plain compression

// A file read from front to back through a window, and hashed on the way.
class Reader {
 public:
  explicit Reader(model::ByteSource& source) : source_(source), left_(static_cast<uint64_t>(source.size())) {}

  // The next bytes, at least the chunker's most or all that is left; empty at the end.
  Result<std::span<const uint8_t>> ahead() {
    if (bytes_.size() - at_ < ChunkSizes{}.most && left_ > 0) {
      bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(at_));
      at_ = 0;
      const size_t had = bytes_.size(), more = static_cast<size_t>(std::min<uint64_t>(kWindow, left_));
      bytes_.resize(had + more);
      const std::span fresh(bytes_.data() + had, more);
      SKEP_CHECK(source_.read(source_.size() - static_cast<int64_t>(left_), std::as_writable_bytes(fresh)));
      hash_.add(fresh);
      left_ -= more;
    }
    return std::span<const uint8_t>(bytes_).subspan(at_);
  }
  void skip(size_t count) { at_ += count, offset_ += count; }
  [[nodiscard]] uint64_t offset() const { return offset_; }
  [[nodiscard]] Sha256 hash() { return hash_.finish(); }

 private:
  model::ByteSource& source_;
  uint64_t left_, offset_ = 0;
  std::vector<uint8_t> bytes_;
  size_t at_ = 0;
  FileHash hash_;
};

struct HashOfHash {
  size_t operator()(const XXH128_hash_t& h) const { return h.low64; }
};
struct SameHash {
  bool operator()(const XXH128_hash_t& a, const XXH128_hash_t& b) const {
    return a.low64 == b.low64 && a.high64 == b.high64;
  }
};
using Chunks = std::unordered_map<XXH128_hash_t, uint64_t, HashOfHash, SameHash>;  // → offset in the old file

// Where in the old file the bytes most like those of the new one stand: the same place of the same tensor.
class Correspondence {
 public:
  struct Place {
    uint64_t end = 0;  // in the new file: this answer holds up to there
    bool known = false;
    uint64_t old_offset = 0;
    int stride = 1, phase = 0;
  };

  Correspondence(const std::string& old_path, const std::string& new_path, uint64_t old_size) : old_size_(old_size) {
    const auto before = model::read_gguf(old_path), after = model::read_gguf(new_path);
    if (!before || !after) return;  // not models: one place for all of it
    std::unordered_map<std::string, const model::GgufTensor*> old_tensors;
    for (const auto& t : before->tensors) old_tensors.emplace(t.name, &t);
    for (const auto& t : after->tensors) {
      const auto found = old_tensors.find(t.name);
      if (found == old_tensors.end() || found->second->type != t.type || found->second->bytes != t.bytes) continue;
      const int stride = t.type == GGML_TYPE_F32 ? 4 : t.type == GGML_TYPE_F16 || t.type == GGML_TYPE_BF16 ? 2 : 1;
      tensors_.push_back({static_cast<uint64_t>(after->data_offset + t.offset), static_cast<uint64_t>(t.bytes),
                          static_cast<uint64_t>(before->data_offset + found->second->offset), stride});
    }
    std::sort(tensors_.begin(), tensors_.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  }

  [[nodiscard]] Place of(uint64_t offset) const {
    const auto next = std::upper_bound(tensors_.begin(), tensors_.end(), offset,
                                       [](uint64_t o, const Range& r) { return o < r.begin; });
    if (next != tensors_.begin()) {
      const Range& r = *std::prev(next);
      if (offset < r.begin + r.size) {
        const uint64_t in = offset - r.begin;
        return {r.begin + r.size, true, r.old_begin + in, r.stride,
                static_cast<int>(in % static_cast<uint64_t>(r.stride))};
      }
    }
    const uint64_t end = next == tensors_.end() ? UINT64_MAX : next->begin;
    return {std::min(end, std::max(offset + 1, old_size_)), offset < old_size_, offset, 1, 0};
  }

 private:
  struct Range {
    uint64_t begin, size, old_begin;
    int stride;
  };
  uint64_t old_size_;
  std::vector<Range> tensors_;
};

class Writer {
 public:
  Writer(const TemporaryFile& file, model::ByteSource& old_file, model::ByteSource& new_file,
         const Correspondence& correspondence, int level)
      : file_(file), old_(old_file), new_(new_file), correspondence_(correspondence), level_(level) {}
  ~Writer() { ZSTD_freeCCtx(zstd_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // The next bytes of the new file are those of the old one at `old_offset`.
  Status same(uint64_t old_offset, uint64_t length) {
    if (other_ > 0 || (same_ > 0 && same_from_ + same_ != old_offset)) SKEP_CHECK(flush());
    if (same_ == 0) same_from_ = old_offset;
    same_ += length;
    return {};
  }
  // They are not in the old one.
  Status other(uint64_t length) {
    if (same_ > 0) SKEP_CHECK(flush());
    other_ += length;
    return other_ >= kPiece ? flush() : Status();
  }
  Status flush() {
    while (same_ > 0) {
      const auto piece = static_cast<uint32_t>(std::min<uint64_t>(same_, DeltaRecord::kMostLength));
      SKEP_CHECK(read(new_, at_, piece, now_));
      SKEP_CHECK(put({.kind = RecordKind::copy, .length = piece, .old_offset = same_from_}, {}));
      report.copied += Bytes(piece);
      same_from_ += piece, same_ -= piece;
    }
    while (other_ > 0) SKEP_CHECK(put_other());
    return {};
  }

  DiffReport report;
  uint64_t records = 0;
  int64_t written = DeltaHeader::kBytes;

 private:
  static Status read(model::ByteSource& from, uint64_t offset, size_t size, std::vector<uint8_t>& out) {
    out.resize(size);
    return from.read(static_cast<int64_t>(offset), std::as_writable_bytes(std::span(out)));
  }

  // One record of what is not in the old file: as a difference where that is smaller.
  Status put_other() {
    const Correspondence::Place place = correspondence_.of(at_);
    uint64_t length = std::min({other_, kPiece, place.end - at_});
    const bool has_old = place.known && place.old_offset < static_cast<uint64_t>(old_.size());
    if (has_old) length = std::min(length, static_cast<uint64_t>(old_.size()) - place.old_offset);
    SKEP_CHECK(read(new_, at_, length, now_));
    DeltaRecord record{.kind = RecordKind::plain, .length = static_cast<uint32_t>(length)};
    std::vector<uint8_t> best;
    if (has_old) {
      SKEP_CHECK(read(old_, place.old_offset, length, before_));
      difference_.resize(length);
      subtract(now_, before_, place.stride, place.phase, difference_);
      best = compressed(difference_);
      record = {.kind = RecordKind::difference,
                .stride = static_cast<uint8_t>(place.stride),
                .phase = static_cast<uint8_t>(place.phase),
                .length = static_cast<uint32_t>(length),
                .old_offset = place.old_offset};
    }
    if (!has_old || static_cast<double>(best.size()) > kGoodEnough * static_cast<double>(length)) {
      std::vector<uint8_t> plain = compressed(now_);
      if (!has_old || plain.size() <= best.size()) {
        best = std::move(plain);
        record = {.kind = RecordKind::plain, .length = static_cast<uint32_t>(length)};
      }
    }
    (record.kind == RecordKind::plain ? report.plain : report.differing) += Bytes(static_cast<int64_t>(length));
    other_ -= length;
    return put(record, best);
  }

  std::vector<uint8_t> compressed(const std::vector<uint8_t>& bytes) {
    std::vector<uint8_t> out(ZSTD_compressBound(bytes.size()));
    const size_t size = ZSTD_compressCCtx(zstd_, out.data(), out.size(), bytes.data(), bytes.size(), level_);
    assert(!ZSTD_isError(size));  // the bound is kept
    out.resize(size);
    return out;
  }

  // now_ holds the bytes that the record stands for.
  Status put(DeltaRecord record, const std::vector<uint8_t>& payload) {
    record.payload = static_cast<uint32_t>(payload.size());
    record.hash = XXH3_64bits(now_.data(), now_.size());
    const auto bytes = record.encode();
    SKEP_CHECK(file_.write(bytes.data(), bytes.size(), written));
    written += static_cast<int64_t>(bytes.size());
    SKEP_CHECK(file_.write(payload.data(), payload.size(), written));
    written += static_cast<int64_t>(payload.size());
    at_ += record.length;
    ++records;
    return {};
  }

  const TemporaryFile& file_;
  model::ByteSource &old_, &new_;
  const Correspondence& correspondence_;
  int level_;
  ZSTD_CCtx* zstd_ = ZSTD_createCCtx();
  uint64_t at_ = 0;                                // in the new file: what is written
  uint64_t same_ = 0, same_from_ = 0, other_ = 0;  // what is not: one of both lengths is zero
  std::vector<uint8_t> now_, before_, difference_;
};

Result<Chunks> chunks_of(Reader& reader, uint64_t size, const ProgressFn& progress) {
  Chunks chunks;
  for (;;) {
    SKEP_TRY(const std::span<const uint8_t> ahead, reader.ahead());
    if (ahead.empty()) return chunks;
    const size_t length = first_chunk(ahead);
    chunks.emplace(XXH3_128bits(ahead.data(), length), reader.offset());
    reader.skip(length);
    const double fraction = static_cast<double>(reader.offset()) / static_cast<double>(size);
    if (!proceed(progress, {"reading the old version", fraction, {}})) return fail(ErrorCode::cancelled, "stopped");
  }
}

}  // namespace

Result<DiffReport> diff(const DiffOptions& options, const ProgressFn& progress) {
  std::error_code ignored;
  if (!options.overwrite && std::filesystem::exists(options.output, ignored)) {
    return fail(ErrorCode::conflict, options.output + " exists already", "--force replaces it");
  }
  SKEP_TRY(const auto old_file, model::FileSource::open(options.old_path));
  SKEP_TRY(const auto new_file, model::FileSource::open(options.new_path));
  DeltaHeader header;
  header.old_size = static_cast<uint64_t>(old_file->size());
  header.new_size = static_cast<uint64_t>(new_file->size());
  Reader before(*old_file), after(*new_file);
  SKEP_TRY(const Chunks chunks, chunks_of(before, header.old_size, progress));
  header.old_hash = before.hash();

  SKEP_TRY(const std::unique_ptr<TemporaryFile> file, TemporaryFile::create(options.output));
  const Correspondence correspondence(options.old_path, options.new_path, header.old_size);
  Writer writer(*file, *old_file, *new_file, correspondence, options.level);
  for (;;) {
    SKEP_TRY(const std::span<const uint8_t> ahead, after.ahead());
    if (ahead.empty()) break;
    const size_t length = first_chunk(ahead);
    const auto found = chunks.find(XXH3_128bits(ahead.data(), length));
    SKEP_CHECK(found != chunks.end() ? writer.same(found->second, length) : writer.other(length));
    after.skip(length);
    const double fraction = static_cast<double>(after.offset()) / static_cast<double>(header.new_size);
    if (!proceed(progress, {"writing what changed", fraction, to_string(Bytes(writer.written))})) {
      return fail(ErrorCode::cancelled, options.output + ": stopped");
    }
  }
  SKEP_CHECK(writer.flush());
  header.new_hash = after.hash();
  header.records = writer.records;
  const auto bytes = header.encode();
  SKEP_CHECK(file->write(bytes.data(), bytes.size(), 0));
  SKEP_CHECK(file->publish(options.overwrite));
  DiffReport report = writer.report;
  report.old_size = Bytes(static_cast<int64_t>(header.old_size));
  report.new_size = Bytes(static_cast<int64_t>(header.new_size));
  report.delta = Bytes(writer.written);
  return report;
}

}  // namespace skep::model_tools
