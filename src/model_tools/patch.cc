#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "model/byte_source.h"
#include "model_tools/delta.h"
#include "model_tools/delta_coding.h"
#include "model_tools/file_hash.h"
#include "model_tools/part_file.h"

namespace skep::model_tools {
namespace {

namespace fs = std::filesystem;

class Patcher {
 public:
  Patcher(const PatchOptions& options, model::ByteSource& old_file, model::ByteSource& delta, PartFile& part,
          const DeltaHeader& header)
      : options_(options), old_(old_file), delta_(delta), part_(part), header_(header) {}
  ~Patcher() { ZSTD_freeDCtx(zstd_); }
  Patcher(const Patcher&) = delete;
  Patcher& operator=(const Patcher&) = delete;

  Status run(const ProgressFn& progress) {
    for (uint64_t i = 0; i < header_.records; ++i) {
      SKEP_TRY(const DeltaRecord record, next());
      if (record.length > header_.new_size - done_) return fail(damaged("it is longer than it says"));
      SKEP_TRY(const bool there, is_there(record));
      if (!there) {
        SKEP_CHECK(make(record));
        SKEP_CHECK(part_.write(done_, now_));
      } else {
        resumed += Bytes(record.length);
      }
      hash_.add(now_);
      done_ += record.length;
      at_ += record.payload;
      const double fraction = static_cast<double>(done_) / static_cast<double>(std::max<uint64_t>(1, header_.new_size));
      if (!proceed(progress, {"patching", fraction, {}})) {
        return fail(ErrorCode::cancelled, options_.output + ": stopped", "the same command goes on where it was");
      }
    }
    if (done_ != header_.new_size) return fail(damaged("it is shorter than it says"));
    if (hash_.finish() != header_.new_hash) {
      part_.remove();
      return fail(ErrorCode::corrupt, options_.output + ": the result is not what it should be",
                  "is the old file the one that the delta was made from?");
    }
    return {};
  }

  Bytes resumed;

 private:
  [[nodiscard]] Error damaged(const std::string& how) const {
    return {ErrorCode::corrupt, fmt::format("{}: {}", options_.delta_path, how), "fetch it again"};
  }

  // The record at at_, which then stands at its payload.
  Result<DeltaRecord> next() {
    std::array<uint8_t, DeltaRecord::kBytes> bytes{};
    SKEP_CHECK(arrived(bytes.size()));
    SKEP_CHECK(delta_.read(static_cast<int64_t>(at_), std::as_writable_bytes(std::span(bytes))));
    at_ += bytes.size();
    SKEP_TRY(const DeltaRecord record, DeltaRecord::decode(bytes, header_.old_size, options_.delta_path));
    return record;
  }
  [[nodiscard]] Status arrived(size_t size) const {
    if (at_ + size <= static_cast<uint64_t>(delta_.size())) return {};
    return fail(ErrorCode::unavailable,
                fmt::format("{} ends early: {} of {} are done", options_.delta_path,
                            to_string(Bytes(static_cast<int64_t>(done_))),
                            to_string(Bytes(static_cast<int64_t>(header_.new_size)))),
                "the same command goes on when there is more of it");
  }

  // Whether an earlier call wrote this already; its bytes are then in now_.
  Result<bool> is_there(const DeltaRecord& record) {
    if (fresh_) return false;
    now_.resize(record.length);
    SKEP_TRY(const size_t had, part_.read(done_, now_));
    if (had == now_.size() && XXH3_64bits(now_.data(), now_.size()) == record.hash) return true;
    fresh_ = true;  // all that follows is new, too
    return false;
  }

  Status make(const DeltaRecord& record) {
    now_.resize(record.length);
    if (record.kind != RecordKind::plain) {
      before_.resize(record.length);
      SKEP_CHECK(old_.read(static_cast<int64_t>(record.old_offset), std::as_writable_bytes(std::span(before_))));
    }
    if (record.kind == RecordKind::copy) {
      now_.swap(before_);
    } else {
      SKEP_CHECK(arrived(record.payload));
      payload_.resize(record.payload);
      SKEP_CHECK(delta_.read(static_cast<int64_t>(at_), std::as_writable_bytes(std::span(payload_))));
      std::vector<uint8_t>& target = record.kind == RecordKind::plain ? now_ : difference_;
      target.resize(record.length);
      const size_t size = ZSTD_decompressDCtx(zstd_, target.data(), target.size(), payload_.data(), payload_.size());
      if (ZSTD_isError(size) || size != record.length) return fail(damaged("a record is damaged"));
      if (record.kind == RecordKind::difference) add(difference_, before_, record.stride, record.phase, now_);
    }
    if (XXH3_64bits(now_.data(), now_.size()) != record.hash) {
      return fail(ErrorCode::corrupt, fmt::format("{}: at {} it is not the file that {} was made from",
                                                  options_.old_path, record.old_offset, options_.delta_path));
    }
    return {};
  }

  const PatchOptions& options_;
  model::ByteSource &old_, &delta_;
  PartFile& part_;
  const DeltaHeader& header_;
  ZSTD_DCtx* zstd_ = ZSTD_createDCtx();
  uint64_t at_ = DeltaHeader::kBytes, done_ = 0;  // in the delta, in the new file
  bool fresh_ = false;
  FileHash hash_;
  std::vector<uint8_t> now_, before_, payload_, difference_;
};

}  // namespace

Result<PatchReport> patch(const PatchOptions& options, const ProgressFn& progress) {
  std::error_code ignored;
  const bool in_place = fs::equivalent(options.old_path, options.output, ignored);
  if (!options.overwrite && !in_place && fs::exists(options.output, ignored)) {
    return fail(ErrorCode::conflict, options.output + " exists already", "--force replaces it");
  }
  SKEP_TRY(const auto delta, model::FileSource::open(options.delta_path));
  std::vector<uint8_t> first(static_cast<size_t>(std::min<int64_t>(DeltaHeader::kBytes, delta->size())));
  SKEP_CHECK(delta->read(0, std::as_writable_bytes(std::span(first))));
  SKEP_TRY(const DeltaHeader header, DeltaHeader::decode(first, options.delta_path));
  SKEP_TRY(const auto old_file, model::FileSource::open(options.old_path));
  if (static_cast<uint64_t>(old_file->size()) != header.old_size) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} was made from a file of {}, {} has {}", options.delta_path,
                                                         header.old_size, options.old_path, old_file->size()));
  }
  SKEP_TRY(const auto part, PartFile::open(options.output + ".part"));
  Patcher patcher(options, *old_file, *delta, *part, header);
  SKEP_CHECK(patcher.run(progress));
  SKEP_CHECK(part->become(options.output, header.new_size));
  return PatchReport{Bytes(static_cast<int64_t>(header.new_size)), patcher.resumed};
}

}  // namespace skep::model_tools
