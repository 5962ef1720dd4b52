#include "engine/native/weight_cache.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <thread>

#include "kernel/lm/pack.h"

namespace skep::engine::native {
namespace {

using kernel::lm::Matrix;

constexpr char kMagic[8] = {'S', 'K', 'E', 'P', 'W', 'G', 'T', 'S'};
constexpr uint32_t kVersion = 2;        // of this file
constexpr uint32_t kLayoutVersion = 1;  // of kernel/lm/format.h
constexpr int64_t kPage = 4096;
constexpr const char* kFolder = ".skep";
constexpr int kTilesAtOnce = 64;              // packed, written and forgotten together
constexpr int64_t kVerifiedAtOnce = 4 << 20;  // bytes

struct FileHeader {
  char magic[8];
  uint32_t version, layout_version;
  uint64_t source_size, source_fingerprint;
  int64_t source_modified;
  uint64_t source_inode;
  uint64_t file_size;
  uint32_t matrices, reserved;
  uint64_t checksum;  // XXH3 of this header with 0 here, and of the entries
};
struct Entry {
  uint64_t name_hash;
  uint32_t format, rows, columns, reserved;
  uint64_t offset, bytes;
  uint64_t checksum;  // XXH3 of the matrix
};
static_assert(sizeof(FileHeader) == 72 && sizeof(Entry) == 48);

int64_t aligned(int64_t n) { return (n + kPage - 1) / kPage * kPage; }

Matrix described(const MatrixInfo& info, const uint8_t* data) { return {info.format, info.rows, info.columns, data}; }

std::vector<Entry> layout_of(std::span<const MatrixInfo> matrices) {
  std::vector<Entry> entries;
  int64_t at = aligned(static_cast<int64_t>(sizeof(FileHeader) + sizeof(Entry) * matrices.size()));
  for (const MatrixInfo& m : matrices) {
    Entry e{};
    e.name_hash = XXH3_64bits(m.name.data(), m.name.size());
    e.format = static_cast<uint32_t>(m.format);
    e.rows = static_cast<uint32_t>(m.rows);
    e.columns = static_cast<uint32_t>(m.columns);
    e.offset = static_cast<uint64_t>(at);
    e.bytes = static_cast<uint64_t>(described(m, nullptr).bytes());
    at = aligned(at + static_cast<int64_t>(e.bytes));
    entries.push_back(e);
  }
  return entries;
}

uint64_t file_size_of(std::span<const Entry> entries) {
  return entries.empty()
             ? static_cast<uint64_t>(kPage)
             : static_cast<uint64_t>(aligned(static_cast<int64_t>(entries.back().offset + entries.back().bytes)));
}

uint64_t header_checksum(FileHeader header, std::span<const Entry> entries) {
  header.checksum = 0;
  const uint64_t seed = XXH3_64bits(&header, sizeof header);
  return XXH3_64bits_withSeed(entries.data(), entries.size_bytes(), seed);
}

FileHeader header_for(const SourceIdentity& source, std::span<const Entry> entries) {
  FileHeader h{};
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.version = kVersion;
  h.layout_version = kLayoutVersion;
  h.source_size = source.size;
  h.source_fingerprint = source.fingerprint;
  h.source_modified = source.modified;
  h.source_inode = source.inode;
  h.file_size = file_size_of(entries);
  h.matrices = static_cast<uint32_t>(entries.size());
  h.checksum = header_checksum(h, entries);
  return h;
}

// Header and entries of a mapped cache file, checked against each other and the file's size.
Result<std::vector<Entry>> read_entries(std::span<const uint8_t> file, const std::string& path, FileHeader& header) {
  const auto damaged = [&] { return fail(ErrorCode::corrupt, fmt::format("{}: damaged weight cache", path)); };
  if (file.size() < sizeof header) return damaged();
  std::memcpy(&header, file.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return damaged();
  if (header.version != kVersion || header.layout_version != kLayoutVersion) {
    return fail(ErrorCode::conflict, fmt::format("{}: weight cache of another version", path));
  }
  if (header.file_size != file.size() || header.matrices > (file.size() - sizeof header) / sizeof(Entry))
    return damaged();
  std::vector<Entry> entries(header.matrices);
  std::memcpy(entries.data(), file.data() + sizeof header, entries.size() * sizeof(Entry));
  if (header.checksum != header_checksum(header, entries)) return damaged();
  for (const Entry& e : entries) {
    if (e.offset > file.size() || e.bytes > file.size() - e.offset || e.offset % kPage != 0) return damaged();
  }
  return entries;
}

class Hash {
 public:
  Hash() : state_(XXH3_createState()) {
    if (!state_) throw std::bad_alloc();
    reset();
  }
  void reset() { XXH3_64bits_reset(state_.get()); }
  void add(const void* data, size_t bytes) { XXH3_64bits_update(state_.get(), data, bytes); }
  [[nodiscard]] uint64_t value() const { return XXH3_64bits_digest(state_.get()); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

class MappedTensors final : public PackedTensors {
 public:
  MappedTensors(MappedFile file, std::string path, std::vector<Entry> entries, std::vector<Matrix> matrices)
      : file_(std::move(file)), path_(std::move(path)), entries_(std::move(entries)), matrices_(std::move(matrices)) {}
  [[nodiscard]] Matrix matrix(size_t index) const override { return matrices_[index]; }
  [[nodiscard]] Bytes bytes() const override { return Bytes(static_cast<int64_t>(file_.bytes().size())); }

  Result<bool> verify_some() override {
    for (int64_t left = kVerifiedAtOnce; left > 0 && entry_ < entries_.size();) {
      const Entry& e = entries_[entry_];
      const int64_t part = std::min(left, static_cast<int64_t>(e.bytes) - hashed_);
      hash_.add(file_.bytes().data() + e.offset + hashed_, static_cast<size_t>(part));
      hashed_ += part;
      left -= part;
      if (hashed_ < static_cast<int64_t>(e.bytes)) break;
      if (hash_.value() != e.checksum) {
        remove_it();
        return fail(ErrorCode::corrupt, fmt::format("{}: a matrix fails its checksum", path_));
      }
      ++entry_;
      hashed_ = 0;
      hash_.reset();
    }
    return entry_ < entries_.size();
  }

 private:
  // Unless another process has put a new one there.
  void remove_it() const {
    struct stat now {};
    if (stat(path_.c_str(), &now) == 0 && now.st_ino == file_.inode()) unlink(path_.c_str());
  }

  MappedFile file_;
  std::string path_;
  std::vector<Entry> entries_;
  std::vector<Matrix> matrices_;
  // What is verified: the entries before entry_, and so many bytes of it.
  size_t entry_ = 0;
  int64_t hashed_ = 0;
  Hash hash_;
};

class HeldTensors final : public PackedTensors {
 public:
  explicit HeldTensors(std::span<const MatrixInfo> infos) : infos_(infos.begin(), infos.end()) {
    int64_t total = 0;
    for (const MatrixInfo& m : infos_) {
      offsets_.push_back(total);
      total += (described(m, nullptr).bytes() + 63) / 64 * 64;
    }
    size_ = total;
    data_.reset(static_cast<uint8_t*>(std::aligned_alloc(64, static_cast<size_t>(std::max<int64_t>(total, 64)))));
  }
  uint8_t* data(size_t index) { return data_.get() + offsets_[index]; }
  [[nodiscard]] bool valid() const { return data_ != nullptr; }
  [[nodiscard]] Matrix matrix(size_t index) const override {
    return described(infos_[index], data_.get() + offsets_[index]);
  }
  [[nodiscard]] Bytes bytes() const override { return Bytes(size_); }

 private:
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  std::vector<MatrixInfo> infos_;
  std::vector<int64_t> offsets_;
  int64_t size_ = 0;
  std::unique_ptr<uint8_t, Free> data_;
};

// Consecutive tiles of a matrix of the GGUF file.
void pack_tiles(std::span<const uint8_t> file, const MatrixInfo& m, int first, int count, const Packing& packing,
                uint8_t* out) {
  const int64_t row_bytes = kernel::lm::gguf_row_bytes(m.format, m.columns);
  const int64_t step = kernel::lm::tile_bytes(m.format, m.columns);
  const auto at = [&](int tile) { return m.offset + std::min(tile * kernel::lm::kTileRows, m.rows) * row_bytes; };
  for (int tile = first; tile < first + count; ++tile) {
    const int rows = std::min(kernel::lm::kTileRows, m.rows - tile * kernel::lm::kTileRows);
    kernel::lm::pack_tile(m.format, m.columns, file.data() + at(tile), rows, out + (tile - first) * step);
  }
  if (packing.was_read) packing.was_read(at(first), at(first + count) - at(first));
}

// A file that vanishes unless it is given its name.
class TemporaryFile {
 public:
  static Result<TemporaryFile> create(const std::string& path) {
    TemporaryFile t;
    t.path_ = fmt::format("{}.{}.tmp", path, getpid());
    t.file_ = ::open(t.path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    if (t.file_ < 0) return fail(ErrorCode::io, fmt::format("{}: {}", t.path_, std::strerror(errno)));
    return t;
  }
  TemporaryFile(TemporaryFile&& other) noexcept
      : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile() {
    if (file_ < 0) return;
    close(file_);
    unlink(path_.c_str());
  }
  Status write(int64_t offset, const void* data, size_t size) const {  // any thread
    const auto* at = static_cast<const uint8_t*>(data);
    while (size > 0) {
      const ssize_t written = pwrite(file_, at, size, offset);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return fail(ErrorCode::io, fmt::format("{}: {}", path_, std::strerror(errno)));
      at += written;
      offset += written;
      size -= static_cast<size_t>(written);
    }
    return {};
  }
  Status publish(const std::string& name, uint64_t size) {
    if (ftruncate(file_, static_cast<off_t>(size)) != 0 || fsync(file_) != 0 ||
        std::rename(path_.c_str(), name.c_str()) != 0) {
      return fail(ErrorCode::io, fmt::format("{}: {}", name, std::strerror(errno)));
    }
    close(std::exchange(file_, -1));
    return {};
  }

 private:
  TemporaryFile() = default;
  std::string path_;
  int file_ = -1;
};

// `name` is <model>.weights of a model that is not there, or <model>.weights.<pid>.tmp of a process that is not.
bool left_over(const std::filesystem::path& folder, const std::string& name) {
  constexpr std::string_view kWeights = ".weights", kTemporary = ".tmp";
  std::error_code error;
  if (name.ends_with(kWeights)) {
    const std::string model = name.substr(0, name.size() - kWeights.size());
    return !std::filesystem::exists(folder.parent_path() / model, error) && !error;
  }
  const size_t at = name.rfind(kWeights);
  if (at == std::string::npos || !name.ends_with(kTemporary)) return false;
  const int process = std::atoi(name.c_str() + at + kWeights.size() + 1);
  return process > 0 && kill(process, 0) != 0 && errno == ESRCH;
}

void remove_left_overs(const std::filesystem::path& folder) {
  if (folder.filename() != kFolder) return;  // not ours alone
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (left_over(folder, entry.path().filename().string())) std::filesystem::remove(entry.path(), error);
  }
}

// Packed weights make way for others, the longest unused first, if that helps.
Status make_room(const std::filesystem::path& folder, const std::string& name, int64_t bytes, const Packing& packing) {
  namespace fs = std::filesystem;
  std::error_code error;
  const Bytes free = packing.disk_free ? packing.disk_free(folder.string())
                                       : Bytes(static_cast<int64_t>(fs::space(folder, error).available));
  if (error) return {};
  int64_t missing = bytes + packing.keep_free.count - free.count;
  std::vector<std::pair<fs::file_time_type, fs::path>> others;
  int64_t theirs = 0;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".weights") continue;
    theirs += static_cast<int64_t>(entry.file_size(error));
    if (entry.path().filename() != name) others.emplace_back(entry.last_write_time(error), entry.path());
  }
  if (missing > theirs) return fail(ErrorCode::io, fmt::format("{}: the disk is too full", folder.string()));
  std::sort(others.begin(), others.end());
  for (const auto& [used, path] : others) {
    if (missing <= 0) break;
    missing -= static_cast<int64_t>(fs::file_size(path, error));
    fs::remove(path, error);
  }
  return {};
}

// The checksum of the matrix that was written at `offset`.
Result<uint64_t> write_matrix(const TemporaryFile& out, int64_t offset, std::span<const uint8_t> file,
                              const MatrixInfo& info, const Packing& packing) {
  const Matrix m = described(info, nullptr);
  const int64_t step = kernel::lm::tile_bytes(m.format, m.columns);
  Hash hash;
  std::vector<uint8_t> buffer(static_cast<size_t>(step) * kTilesAtOnce);
  for (int tile = 0; tile < m.tiles(); tile += kTilesAtOnce) {
    const int count = std::min(kTilesAtOnce, m.tiles() - tile);
    pack_tiles(file, info, tile, count, packing, buffer.data());
    const auto size = static_cast<size_t>(count * step);
    hash.add(buffer.data(), size);
    SKEP_CHECK(out.write(offset + tile * step, buffer.data(), size));
  }
  return hash.value();
}

// Calls pack(i) for every matrix, on several threads; ends with the first error.
Status each_matrix(size_t count, const Packing& packing, const std::function<Status(size_t)>& pack) {
  std::atomic<size_t> next{0}, done{0};
  std::mutex mutex;
  Status outcome;
  const auto work = [&](bool first) {
    for (size_t i = next++; i < count; i = next++) {
      Status packed = pack(i);
      const float share = static_cast<float>(++done) / static_cast<float>(count);
      if (packed && first && packing.progress && !packing.progress(share)) {
        packed = fail(ErrorCode::cancelled, "packing was given up");
      }
      if (packed) continue;
      next = count;
      const std::lock_guard lock(mutex);
      if (outcome) outcome = std::move(packed);
    }
  };
  std::vector<std::thread> others;
  const size_t threads = std::min(count, static_cast<size_t>(std::max(1, packing.threads)));
  for (size_t i = 1; i < threads; ++i) others.emplace_back(work, false);
  work(true);
  for (std::thread& t : others) t.join();
  return outcome;
}

}  // namespace

SourceIdentity identify(std::span<const uint8_t> file, int64_t header_bytes) {
  constexpr size_t kSamples = 64, kSampleBytes = 4096;
  const size_t header = std::min(static_cast<size_t>(header_bytes), file.size());
  uint64_t hash = XXH3_64bits(file.data(), header);
  const size_t data = file.size() - header;
  for (size_t i = 0; i < kSamples && data > 0; ++i) {
    const size_t at = header + (data > kSampleBytes ? (data - kSampleBytes) / kSamples * i : 0);
    hash = XXH3_64bits_withSeed(file.data() + at, std::min(kSampleBytes, file.size() - at), hash);
  }
  return {.size = file.size(), .fingerprint = hash};
}

SourceIdentity identify(const MappedFile& file, int64_t header_bytes) {
  SourceIdentity identity = identify(file.bytes(), header_bytes);
  identity.modified = file.modified();
  identity.inode = file.inode();
  return identity;
}

Result<std::unique_ptr<PackedTensors>> pack_tensors(std::span<const uint8_t> file, std::span<const MatrixInfo> matrices,
                                                    const Packing& packing) {
  auto held = std::make_unique<HeldTensors>(matrices);
  if (!held->valid()) return fail(ErrorCode::out_of_memory, "no memory for the packed weights");
  SKEP_CHECK(each_matrix(matrices.size(), packing, [&](size_t i) -> Status {
    const Matrix m = held->matrix(i);
    const int64_t step = kernel::lm::tile_bytes(m.format, m.columns);
    for (int tile = 0; tile < m.tiles(); tile += kTilesAtOnce) {
      const int count = std::min(kTilesAtOnce, m.tiles() - tile);
      pack_tiles(file, matrices[i], tile, count, packing, held->data(i) + tile * step);
    }
    return {};
  }));
  return held;
}

Result<std::unique_ptr<PackedTensors>> open_cache(const std::string& path, const SourceIdentity& source,
                                                  std::span<const MatrixInfo> matrices) {
  SKEP_TRY(MappedFile file, MappedFile::open(path));
  FileHeader header{};
  SKEP_TRY(std::vector<Entry> entries, read_entries(file.bytes(), path, header));
  if (SourceIdentity{header.source_size, header.source_fingerprint, header.source_modified, header.source_inode} !=
      source) {
    return fail(ErrorCode::conflict, fmt::format("{}: weight cache of another model", path));
  }
  const std::vector<Entry> wanted = layout_of(matrices);
  if (entries.size() != wanted.size()) return fail(ErrorCode::conflict, fmt::format("{}: other matrices", path));
  std::vector<Matrix> found;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Entry& a = entries[i];
    const Entry& b = wanted[i];
    if (a.name_hash != b.name_hash || a.format != b.format || a.rows != b.rows || a.columns != b.columns ||
        a.offset != b.offset || a.bytes != b.bytes) {
      return fail(ErrorCode::conflict, fmt::format("{}: other matrices", path));
    }
    found.push_back(described(matrices[i], file.bytes().data() + a.offset));
  }
  std::error_code ignored;
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now(), ignored);  // see make_room()
  return std::make_unique<MappedTensors>(std::move(file), path, std::move(entries), std::move(found));
}

Status write_cache(const std::string& path, const SourceIdentity& source, std::span<const uint8_t> file,
                   std::span<const MatrixInfo> matrices, const Packing& packing) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::filesystem::create_directories(folder, error);
  remove_left_overs(folder);
  std::vector<Entry> entries = layout_of(matrices);
  SKEP_CHECK(make_room(folder, std::filesystem::path(path).filename().string(),
                       static_cast<int64_t>(file_size_of(entries)), packing));
  SKEP_TRY(TemporaryFile out, TemporaryFile::create(path));
  SKEP_CHECK(each_matrix(matrices.size(), packing, [&](size_t i) -> Status {
    SKEP_TRY(entries[i].checksum,
             write_matrix(out, static_cast<int64_t>(entries[i].offset), file, matrices[i], packing));
    return {};
  }));
  const FileHeader header = header_for(source, entries);
  SKEP_CHECK(out.write(sizeof header, entries.data(), entries.size() * sizeof(Entry)));
  SKEP_CHECK(out.write(0, &header, sizeof header));
  return out.publish(path, header.file_size);
}

std::string cache_path_for(const std::string& model_path) {
  const std::filesystem::path path(model_path);
  return (path.parent_path() / kFolder / (path.filename().string() + ".weights")).string();
}

}  // namespace skep::engine::native
