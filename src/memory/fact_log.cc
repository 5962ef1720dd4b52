#include "memory/fact_log.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "memory/file.h"

namespace skep::memory {
namespace {

constexpr std::string_view kMagic = "skepfact";

uint64_t checksum(uint32_t kind, std::string_view payload) {
  return XXH3_64bits_withSeed(payload.data(), payload.size(), kind);
}

struct RecordHeader {
  uint32_t length, kind;
  uint64_t check;
};
static_assert(sizeof(RecordHeader) == kFactRecordHeader);

// The payload of the record at `at`, if a whole one stands there.
bool whole_record(std::string_view file, size_t at, RecordHeader& header, std::string_view& payload) {
  if (file.size() - at < kFactRecordHeader) return false;
  std::memcpy(&header, file.data() + at, sizeof header);
  if (header.length > kMostFactRecord || file.size() - at - kFactRecordHeader < header.length) return false;
  payload = file.substr(at + kFactRecordHeader, header.length);
  return checksum(header.kind, payload) == header.check;
}

}  // namespace

std::string fact_file_header(FactFileKind kind) {
  std::string header(kMagic);
  const uint32_t words[] = {kFactFileVersion, static_cast<uint32_t>(kind)};
  header.append(reinterpret_cast<const char*>(words), sizeof words);
  return header;
}

std::string frame(const FactRecord& record) {
  const std::string payload = encode(record);
  const auto kind = static_cast<uint32_t>(record.index());
  const RecordHeader header{static_cast<uint32_t>(payload.size()), kind, checksum(kind, payload)};
  std::string framed(reinterpret_cast<const char*>(&header), sizeof header);
  return framed += payload;
}

Result<FactScan> scan_facts(std::string_view file, FactFileKind kind,
                            const std::function<void(FactRecord&& record)>& visit) {
  if (!file.starts_with(fact_file_header(kind))) {
    return fail(ErrorCode::corrupt, fmt::format("not a {} of facts of version {}",
                                                kind == FactFileKind::log ? "log" : "snapshot", kFactFileVersion));
  }
  FactScan scan;
  scan.end = kFactFileHeader;
  size_t at = kFactFileHeader;
  // Looking for the next whole record tries every byte; headers that ask for a long payload make each try expensive, so
  // the search as a whole has a budget of bytes hashed.
  size_t search_budget = 256U << 20U;
  while (at < file.size()) {
    RecordHeader header{};
    std::string_view payload;
    if (!whole_record(file, at, header, payload)) {
      const size_t cost = kFactRecordHeader + (header.length <= kMostFactRecord ? header.length : 0);
      if (cost > search_budget) break;
      search_budget -= cost;
      ++at;
      continue;
    }
    auto record = decode(header.kind, payload);
    if (record) {
      scan.damaged += at - scan.end;
      scan.end = at + kFactRecordHeader + header.length;
      ++scan.records;
      visit(std::move(*record));
      at = scan.end;
    } else {
      at += kFactRecordHeader + header.length;
    }
  }
  scan.torn = file.size() - scan.end;
  return scan;
}

Result<FactLog> FactLog::create(const std::string& path, const HeadRecord& head) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fail(io_error("create", path));
  FactLog log(path, fd, 0);
  Status begun = log.append(fact_file_header(FactFileKind::log) + frame(head));
  if (begun) begun = log.sync();
  if (begun) return log;
  ::unlink(path.c_str());  // a later try finds the name free
  return fail(begun.error());
}

Result<FactLog> FactLog::open(const std::string& path, size_t end) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail(io_error("open", path));
  FactLog log(path, fd, end);
  if (::ftruncate(fd, static_cast<off_t>(end)) != 0) return fail(io_error("truncate", path));
  return log;
}

FactLog::FactLog(FactLog&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      end_(other.end_),
      dirty_(other.dirty_),
      broken_(other.broken_) {}

FactLog& FactLog::operator=(FactLog&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  end_ = other.end_;
  dirty_ = other.dirty_;
  broken_ = other.broken_;
  return *this;
}

FactLog::~FactLog() {
  if (fd_ >= 0) ::close(fd_);
}

Status FactLog::append(std::string_view frames) {
  if (broken_) return fail(ErrorCode::io, path_ + ": an earlier write failed halfway", "a new log is begun soon");
  size_t written = 0;
  while (written < frames.size()) {
    const ssize_t n =
        ::pwrite(fd_, frames.data() + written, frames.size() - written, static_cast<off_t>(end_ + written));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      Error error = io_error("write", path_);
      broken_ = written > 0 && ::ftruncate(fd_, static_cast<off_t>(end_)) != 0;
      return fail(std::move(error));
    }
    written += static_cast<size_t>(n);
  }
  end_ += frames.size();
  dirty_ = true;
  return {};
}

Status FactLog::sync() {
  if (!dirty_) return {};
  // What a failed fdatasync did to the pages is unknown: it can't be repeated with success.
  if (::fdatasync(fd_) != 0) {
    broken_ = true;
    return fail(io_error("sync", path_));
  }
  dirty_ = false;
  return {};
}

}  // namespace skep::memory
