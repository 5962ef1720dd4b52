#include "mind/belief/state_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace skep::belief {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little-endian");

constexpr uint64_t kMagic = 0x31504f5050454b53;  // "SKEPPOP1"
constexpr uint32_t kVersion = 4;
constexpr uint32_t kOldestVersion = 2;  // what a file of an older version can hold is the same in all
constexpr size_t kPage = 4096;
constexpr size_t kSectionAlignment = 4096;
constexpr uint32_t kMostCapacity = 1u << 26;

struct Commit {
  uint64_t sequence;
  uint64_t steps;
  uint64_t sealed;  // checksum of the state at `sequence`, 0: not sealed
  uint64_t check;   // of the three above
};

struct Header {
  uint64_t magic;
  uint32_t version;
  uint32_t header_bytes;
  StateLayout layout;
  uint64_t model_bytes;
  uint64_t model_checksum;
  uint64_t check;  // of everything above
  alignas(512) Commit commit[2];
};
static_assert(sizeof(Header) <= kPage);

// Until version 4 a layout ended before `prune`, and what follows it stood where that is now.
constexpr size_t kOldLayout = offsetof(StateLayout, prune);
static_assert(kOldLayout == 56 && sizeof(StateLayout) == 64);

uint64_t check_of(const Commit& c) { return XXH3_64bits(&c, offsetof(Commit, check)) | 1; }
uint64_t check_of(const Header& h) { return XXH3_64bits(&h, offsetof(Header, check)); }

// Of a header as it stands in a file of version 2 or 3. Nothing of one that is damaged.
std::optional<Header> header_of_old_version(const Header& raw) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&raw);
  const size_t after = offsetof(Header, layout) + kOldLayout;
  const size_t checked = after + 2 * sizeof(uint64_t);
  uint64_t check = 0;
  std::memcpy(&check, bytes + checked, sizeof check);
  if (check != XXH3_64bits(bytes, checked)) return std::nullopt;
  Header header = raw;
  header.layout.prune = 0;
  std::memcpy(&header.model_bytes, bytes + after, sizeof header.model_bytes);
  std::memcpy(&header.model_checksum, bytes + after + sizeof header.model_bytes, sizeof header.model_checksum);
  header.check = check_of(header);
  return header;
}

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

tl::unexpected<Error> system_error(const std::filesystem::path& path, const char* what) {
  return fail(ErrorCode::io, fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno)));
}

tl::unexpected<Error> corrupt(const std::filesystem::path& path, const std::string& what) {
  return fail(ErrorCode::corrupt, fmt::format("{}: {}", path.string(), what));
}

// Products below can't overflow 64 bits within these.
bool sane(const StateLayout& l) {
  return l.capacity > 0 && l.capacity <= kMostCapacity && std::has_single_bit(l.element) && l.element <= 8 &&
         l.stride > 0 && l.stride <= (1u << 20) && l.modalities > 0 && l.modalities <= 4096 &&
         l.history <= (1u << 20) && l.history_beliefs <= 1 && (l.sides <= 2 || l.sides == 4) && l.own_sides <= 2 &&
         l.own_block <= (uint64_t{1} << 34) && l.own_block % 64 == 0 && (l.own_sides == 0) == (l.own_block == 0) &&
         l.prune >= 0 && l.prune < 1 &&
         ((l.flags & kSparseRows) == 0 || (l.element == 4 && l.sides == 2 && l.stride % 8 == 0));
}

}  // namespace

void StateFile::plan_sections() {
  const StateLayout& l = layout_;
  const size_t capacity = l.capacity;
  size_t at = fd_ >= 0 ? kPage : 0;
  const auto section = [&at](size_t bytes) {
    const size_t start = at;
    at = round_up(at + bytes, kSectionAlignment);
    return start;
  };
  model_ = section(model_bytes_);
  records_ = section(fd_ >= 0 ? capacity * 2 * sizeof(SlotRecord) : 0);
  own_stamps_ = section(fd_ >= 0 && l.own_sides > 0 ? capacity * l.own_sides * sizeof(uint64_t) : 0);
  const bool sparse = (l.flags & kSparseRows) != 0;
  beliefs_ = section(capacity * l.sides * (sparse ? sizeof(RowHead) : size_t{l.stride} * l.element));
  history_entry_ = sizeof(HistoryHeader) + l.modalities * sizeof(uint16_t);
  const size_t ring = l.history > 0 ? l.history + size_t{1} : 0;
  history_ = section(capacity * ring * history_entry_);
  history_row_ = l.stride * std::min(size_t{l.element}, sizeof(float));
  history_beliefs_ = section(l.history_beliefs != 0 ? capacity * ring * history_row_ : 0);
  own_ = section(capacity * l.own_sides * l.own_block);
  size_ = std::max(at, kPage);
}

// Of address space, not of bytes. Blocks of one size may be free while another is wanted, so all rows together may once
// have taken each size: those of powers of two below the full one are twice that.
size_t StateFile::most_heap() const {
  const StateLayout& l = layout_;
  if ((l.flags & kSparseRows) == 0) return 0;
  return round_up(size_t{4} * l.capacity * l.sides * l.stride * l.element + (size_t{16} << 20), kPage);
}

Status StateFile::map(size_t size) {
  mapped_ = size;
  const int flags = fd_ >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd_, 0);
  if (base == MAP_FAILED) {
    return fail(ErrorCode::out_of_memory, fmt::format("population state of {} bytes: {}", size, std::strerror(errno)));
  }
  base_ = static_cast<std::byte*>(base);
  // Own models are read in blocks of some pages at random places: the TLB is what large pages spare.
  if (fd_ < 0 && size >= (size_t{4} << 20)) madvise(base_, size, MADV_HUGEPAGE);
  return {};
}

Result<StateFile> StateFile::create(const StateLayout& layout) {
  assert(sane(layout));
  StateFile f;
  f.layout_ = layout;
  f.plan_sections();
  SKEP_CHECK(f.map(f.size_));
  return f;
}

Result<StateFile> StateFile::create(const std::filesystem::path& path, const StateLayout& layout,
                                    std::span<const std::byte> model) {
  assert(sane(layout) && layout.sides > 1);
  StateFile f;
  f.layout_ = layout;
  f.model_bytes_ = model.size();
  f.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (f.fd_ < 0) return system_error(path, "can't be created");
  if (flock(f.fd_, LOCK_EX | LOCK_NB) != 0) return system_error(path, "is in use");
  f.plan_sections();
  // Blocks are reserved now: a full disk is an error here, and never a SIGBUS in the middle of a step.
  if (const int error = posix_fallocate(f.fd_, 0, static_cast<off_t>(f.size_)); error != 0) {
    errno = error;
    auto failure = system_error(path, "no room for the state");
    ::unlink(path.c_str());
    return failure;
  }
  SKEP_CHECK(f.map(f.size_ + f.most_heap()));
  if (!model.empty()) std::memcpy(f.base_ + f.model_, model.data(), model.size());
  Header header{};
  header.magic = kMagic;
  header.version = kVersion;
  header.header_bytes = sizeof(Header);
  header.layout = layout;
  header.model_bytes = model.size();
  header.model_checksum = XXH3_64bits(model.data(), model.size());
  header.check = check_of(header);
  std::memcpy(f.base_, &header, sizeof header);
  f.commit(0);
  SKEP_CHECK(f.sync());
  return f;
}

Result<StateFile> StateFile::open(const std::filesystem::path& path) {
  StateFile f;
  f.fd_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (f.fd_ < 0) {
    return errno == ENOENT ? fail(ErrorCode::not_found, path.string() + ": no such file")
                           : system_error(path, "can't be opened");
  }
  if (flock(f.fd_, LOCK_EX | LOCK_NB) != 0) return system_error(path, "is in use");
  struct stat status {};
  if (fstat(f.fd_, &status) != 0) return system_error(path, "can't be read");
  const auto actual = static_cast<size_t>(status.st_size);
  Header header{};
  if (actual < kPage || pread(f.fd_, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) {
    return corrupt(path, "too short for a population file");
  }
  if (header.magic != kMagic) return corrupt(path, "not a population file");
  if (header.version < kOldestVersion || header.version > kVersion)
    return fail(ErrorCode::unsupported,
                fmt::format("{}: version {}, this build reads {} to {}", path.string(), header.version, kOldestVersion,
                            kVersion),
                "open it with the build that made it, or make the population anew");
  if (header.version < kVersion) {
    const auto old = header_of_old_version(header);
    if (!old) return corrupt(path, "the header is damaged");
    header = *old;
  }
  if (header.check != check_of(header) || header.header_bytes != sizeof(Header))
    return corrupt(path, "the header is damaged");
  if (!sane(header.layout) || header.layout.sides < 2 || header.model_bytes > actual)
    return corrupt(path, "impossible sizes in the header");
  f.layout_ = header.layout;
  f.model_bytes_ = header.model_bytes;
  f.plan_sections();
  const size_t most_heap = f.most_heap();
  if (actual < f.size_ || actual - f.size_ > most_heap)
    return corrupt(path, fmt::format("{} bytes long, expected {}", actual, f.size_));
  f.heap_bytes_ = actual - f.size_;
  SKEP_CHECK(f.map(f.size_ + most_heap));
  if (XXH3_64bits(f.base_ + f.model_, f.model_bytes_) != header.model_checksum)
    return corrupt(path, "the model is damaged");
  if (Status recovered = f.recover(); !recovered) return corrupt(path, recovered.error().message);
  return f;
}

Status StateFile::recover() {
  Header header;
  std::memcpy(&header, base_, sizeof header);
  const Commit* best = nullptr;
  for (const Commit& c : header.commit) {
    if (c.check != check_of(c)) continue;
    const bool newer = best == nullptr || c.sequence > best->sequence;
    if (newer || (c.sequence == best->sequence && c.sealed != 0)) best = &c;
  }
  if (best == nullptr) return fail(ErrorCode::corrupt, "no complete step in it");
  sequence_ = best->sequence;
  steps_ = best->steps;
  clear_unfinished();
  if (best->sealed != 0 && best->sealed != checksum_of_state() &&
      (header.version >= 4 || best->sealed != checksum_of_state(Sealed::as_before_version_4)))
    return fail(ErrorCode::corrupt, "the state does not match its checksum");
  return {};
}

// A later step must not take the remains of one that never completed for its own.
void StateFile::clear_unfinished() {
  for (uint32_t slot = 0; slot < layout_.capacity; ++slot) {
    for (uint32_t side = 0; side < 2; ++side) {
      if (record(slot, side)->stamp > sequence_) record(slot, side)->stamp = 0;
    }
    for (uint32_t side = 0; side < layout_.own_sides; ++side) {
      if (*own_stamp(slot, side) > sequence_) *own_stamp(slot, side) = 0;
    }
  }
}

// Of sparse rows also what is in the heap, if it is there at all: who unpacks it finds out that it isn't.
void StateFile::add_row(void* hash, uint32_t slot, uint32_t side) const {
  auto* state = static_cast<XXH3_state_t*>(hash);
  side = std::min(side, layout_.sides - 1);  // of a damaged record any row will do
  if ((layout_.flags & kSparseRows) != 0) {
    const RowHead* h = head(slot, side);
    XXH3_64bits_update(state, h, sizeof(RowHead));
    if (h->bytes <= heap_bytes_ && h->at <= heap_bytes_ - h->bytes) XXH3_64bits_update(state, heap() + h->at, h->bytes);
    return;
  }
  const size_t row = size_t{layout_.stride} * layout_.element;
  XXH3_64bits_update(state, beliefs() + (size_t{slot} * layout_.sides + side) * row, row);
}

// The records that are committed, and what those of living agents name. Before version 4 a row that a step may be
// writing could be among it, and changes that no step had committed.
uint64_t StateFile::checksum_of_state(Sealed what) const {
  const uint64_t newest = what == Sealed::committed ? sequence_ : ~uint64_t{0};
  const bool both_rows = what == Sealed::as_before_version_4 || (layout_.flags & kLearning) != 0;
  const auto newer = [newest](uint64_t first, uint64_t second) {
    return second <= newest && (second > first || first > newest);
  };
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (uint32_t slot = 0; slot < layout_.capacity; ++slot) {
    const SlotRecord* r = record(slot, newer(record(slot, 0)->stamp, record(slot, 1)->stamp) ? 1 : 0);
    if (r->stamp == 0 || r->stamp > newest) continue;
    XXH3_64bits_update(state, r, sizeof(SlotRecord));
    if (what == Sealed::committed && (r->flags & kAlive) == 0) continue;
    add_row(state, slot, row_of(r->flags));
    if (both_rows) add_row(state, slot, row_before_of(r->flags));
    if (layout_.own_sides > 0) {
      const uint32_t own_side = layout_.own_sides == 2 && newer(*own_stamp(slot, 0), *own_stamp(slot, 1)) ? 1 : 0;
      XXH3_64bits_update(state, own(slot, own_side), layout_.own_block);
    }
  }
  const uint64_t sum = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return sum | 1;
}

void StateFile::commit(uint64_t steps) {
  ++sequence_;
  steps_ = steps;
  if (fd_ < 0) return;
  Commit c{sequence_, steps_, 0, 0};
  c.check = check_of(c);
  // The stamps and rows of this step first, then the slot; the other slot holds the step before.
  std::atomic_thread_fence(std::memory_order_release);
  auto* header = reinterpret_cast<Header*>(base_);
  std::memcpy(&header->commit[sequence_ % 2], &c, sizeof c);
  std::atomic_thread_fence(std::memory_order_release);
}

Status StateFile::sync() {
  if (fd_ < 0) return {};
  if (msync(base_, bytes(), MS_SYNC) != 0) return fail(ErrorCode::io, fmt::format("msync: {}", std::strerror(errno)));
  Commit c{sequence_, steps_, checksum_of_state(), 0};
  c.check = check_of(c);
  auto* header = reinterpret_cast<Header*>(base_);
  // Into the other slot: a death in the middle of this leaves the unsealed one of the same step.
  std::memcpy(&header->commit[(sequence_ + 1) % 2], &c, sizeof c);
  if (msync(base_, kPage, MS_SYNC) != 0) return fail(ErrorCode::io, fmt::format("msync: {}", std::strerror(errno)));
  return {};
}

std::span<const std::byte> StateFile::model() const { return {base_ + model_, model_bytes_}; }

SlotRecord* StateFile::record(uint32_t slot, uint32_t side) const {
  assert(fd_ >= 0 && slot < layout_.capacity && side < 2);
  return reinterpret_cast<SlotRecord*>(base_ + records_) + size_t{slot} * 2 + side;
}

RowHead* StateFile::head(uint32_t slot, uint32_t side) const {
  assert((layout_.flags & kSparseRows) != 0 && slot < layout_.capacity && side < layout_.sides);
  return reinterpret_cast<RowHead*>(beliefs()) + size_t{slot} * layout_.sides + side;
}

Status StateFile::grow_heap(size_t bytes) {
  assert(fd_ >= 0);
  if (bytes > mapped_ - size_ - heap_bytes_) return fail(ErrorCode::too_large, "sparse rows: the heap is full");
  const auto end = static_cast<off_t>(size_ + heap_bytes_);
  if (const int error = posix_fallocate(fd_, end, static_cast<off_t>(bytes)); error != 0)
    return fail(ErrorCode::io, fmt::format("no room for sparse rows: {}", std::strerror(error)),
                "make room and open the population again: it is at its last complete step");
  heap_bytes_ += bytes;
  return {};
}

std::byte* StateFile::own(uint32_t slot, uint32_t side) const {
  assert(slot < layout_.capacity && side < layout_.own_sides);
  return base_ + own_ + (size_t{slot} * layout_.own_sides + side) * layout_.own_block;
}

uint64_t* StateFile::own_stamp(uint32_t slot, uint32_t side) const {
  assert(fd_ >= 0 && slot < layout_.capacity && side < layout_.own_sides);
  return reinterpret_cast<uint64_t*>(base_ + own_stamps_) + size_t{slot} * layout_.own_sides + side;
}

HistoryHeader* StateFile::history(uint32_t slot, uint32_t number) const {
  assert(layout_.history > 0);
  const size_t ring = layout_.history + size_t{1};
  return reinterpret_cast<HistoryHeader*>(base_ + history_ + (size_t{slot} * ring + number % ring) * history_entry_);
}

std::byte* StateFile::history_belief(uint32_t slot, uint32_t number) const {
  assert(layout_.history_beliefs != 0);
  const size_t ring = layout_.history + size_t{1};
  return base_ + history_beliefs_ + (size_t{slot} * ring + number % ring) * history_row_;
}

void StateFile::release() {
  if (base_ != nullptr) munmap(base_, mapped_);
  if (fd_ >= 0) ::close(fd_);
  base_ = nullptr;
  fd_ = -1;
}

StateFile::StateFile(StateFile&& other) noexcept { *this = std::move(other); }

StateFile& StateFile::operator=(StateFile&& other) noexcept {
  if (this == &other) return *this;
  release();
  layout_ = other.layout_;
  base_ = std::exchange(other.base_, nullptr);
  size_ = other.size_;
  heap_bytes_ = other.heap_bytes_;
  mapped_ = other.mapped_;
  fd_ = std::exchange(other.fd_, -1);
  model_ = other.model_;
  model_bytes_ = other.model_bytes_;
  records_ = other.records_;
  own_stamps_ = other.own_stamps_;
  beliefs_ = other.beliefs_;
  history_ = other.history_;
  history_beliefs_ = other.history_beliefs_;
  own_ = other.own_;
  history_entry_ = other.history_entry_;
  history_row_ = other.history_row_;
  sequence_ = other.sequence_;
  steps_ = other.steps_;
  return *this;
}

StateFile::~StateFile() { release(); }

}  // namespace skep::belief
