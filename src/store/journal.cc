#include "store/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "store/encoding.h"

namespace skep::store {
namespace {

constexpr std::string_view kMagic = "skepjrn1";
constexpr int64_t kHeader = 24;
constexpr int64_t kRecordHead = 12;
constexpr int64_t kSpare = kRecordHead + 1;  // kept behind every record: a generation can be sealed on a full disk
constexpr int64_t kSomeRecords = 64 << 10;
constexpr uint32_t kLongestBody = 256U << 20;

std::string header_of(uint64_t generation) {
  std::string bytes(kMagic);
  bytes += Encoder().fixed(generation).take();
  return bytes + Encoder().fixed(static_cast<uint64_t>(XXH3_64bits(bytes.data(), bytes.size()))).take();
}

// Everything or an errno.
int write_all(int file, std::string_view bytes, int64_t at) {
  while (!bytes.empty()) {
    ssize_t wrote = ::pwrite(file, bytes.data(), bytes.size(), at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return wrote < 0 ? errno : ENOSPC;
    bytes.remove_prefix(static_cast<size_t>(wrote));
    at += wrote;
  }
  return 0;
}

// Up to `size` bytes from `at`; fewer at the end of the file.
Result<std::string> read_at(int file, const std::string& path, size_t size, int64_t at) {
  std::string bytes(size, '\0');
  size_t have = 0;
  while (have < size) {
    ssize_t got = ::pread(file, bytes.data() + have, size - have, at + static_cast<int64_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error(path, errno));
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

}  // namespace

bool out_of_space(int number) { return number == ENOSPC || number == EDQUOT || number == EFBIG; }

Error system_error(const std::string& what, int number) {
  if (out_of_space(number)) {
    return {ErrorCode::unavailable, fmt::format("{}: {}", what, std::strerror(number)),
            "free some space: writing goes on by itself"};
  }
  return {ErrorCode::io, fmt::format("{}: {}", what, std::strerror(number)), ""};
}

Result<Journal> Journal::open(const std::string& path) {
  int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return fail(system_error(path, errno));
  return Journal(file, path);
}

Journal::Journal(Journal&& other) noexcept
    : file_(std::exchange(other.file_, -1)),
      path_(std::move(other.path_)),
      generation_(other.generation_),
      end_(other.end_),
      reserved_(other.reserved_) {}

Journal::~Journal() {
  if (file_ >= 0) ::close(file_);
}

Result<Journal::Replay> Journal::replay(const std::function<Status(std::string_view)>& each) const {
  Replay replay;
  SKEP_TRY(std::string head, read_at(file_, path_, kHeader, 0));
  if (head.size() < static_cast<size_t>(kHeader)) return replay;
  Decoder decoder(std::string_view(head).substr(kMagic.size()));
  auto generation = decoder.fixed<uint64_t>();
  if (head != header_of(generation)) return replay;
  replay.generation = generation;
  for (int64_t at = kHeader;;) {
    SKEP_TRY(std::string record, read_at(file_, path_, kRecordHead, at));
    if (record.size() < static_cast<size_t>(kRecordHead)) return replay;
    Decoder fields(record);
    auto length = fields.fixed<uint32_t>();
    auto sum = fields.fixed<uint64_t>();
    if (length == 0 || length > kLongestBody) return replay;
    struct stat status {};
    if (::fstat(file_, &status) != 0) return fail(system_error(path_, errno));
    if (status.st_size < at + kRecordHead + length) return replay;
    SKEP_TRY(std::string body, read_at(file_, path_, length, at + kRecordHead));
    if (body.size() < length || sum != XXH3_64bits_withSeed(body.data(), body.size(), generation)) return replay;
    SKEP_CHECK(each(body));
    ++replay.records;
    at += kRecordHead + length;
  }
}

Status Journal::start(uint64_t generation) {
  assert(generation > generation_);
  SKEP_CHECK(reserve(kHeader));
  if (int number = write_all(file_, header_of(generation), 0); number != 0) return fail(system_error(path_, number));
  generation_ = generation;
  end_ = kHeader;
  return {};
}

// The room is taken from the disk beforehand, so that an append neither fails halfway nor changes the file's size.
Status Journal::reserve(int64_t end) {
  if (end <= reserved_) return {};
  int64_t wanted = (end + kReserve.count - 1) / kReserve.count * kReserve.count;
  int number = 0;
  do {
    number = ::posix_fallocate(file_, 0, wanted);
  } while (number == EINTR);
  if (number == EOPNOTSUPP || number == EINVAL) number = 0;  // a file system that can't: appends will tell
  if (number != 0) return fail(system_error(path_, number));
  reserved_ = wanted;
  return {};
}

Status Journal::append(std::string_view body) {
  assert(generation_ > 0 && !body.empty() && body.size() <= kLongestBody);
  int64_t end = end_ + kRecordHead + static_cast<int64_t>(body.size());
  SKEP_CHECK(reserve(end + (body.size() > 1 ? kSpare : 0)));
  Encoder record;
  record.fixed(static_cast<uint32_t>(body.size()));
  record.fixed(static_cast<uint64_t>(XXH3_64bits_withSeed(body.data(), body.size(), generation_)));
  std::string bytes = record.take();
  bytes += body;
  if (int number = write_all(file_, bytes, end_); number != 0) return fail(system_error(path_, number));
  end_ = end;
  return {};
}

Status Journal::wipe(bool all) {
  if (all) end_ = 0;
  if (::ftruncate(file_, end_) != 0) return fail(system_error(path_, errno));
  reserved_ = end_;
  return {};
}

Status Journal::make_room() { return reserve(end_ + kSomeRecords); }

Status Journal::sync() {
  if (::fdatasync(file_) != 0) return fail(system_error(path_, errno));
  return {};
}

}  // namespace skep::store
