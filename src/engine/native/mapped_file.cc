#include "engine/native/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

namespace skep::engine::native {

Result<MappedFile> MappedFile::open(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io,
                fmt::format("{}: {}", path, std::strerror(errno)));
  }
  struct stat status {};
  MappedFile mapped;
  void* data = MAP_FAILED;
  if (fstat(file, &status) == 0 && status.st_size > 0) {
    data = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_SHARED, file, 0);
  }
  const int error = errno;
  close(file);
  mapped.modified_ = status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec;
  mapped.inode_ = status.st_ino;
  if (status.st_size == 0) return mapped;
  if (data == MAP_FAILED) return fail(ErrorCode::io, fmt::format("{}: {}", path, std::strerror(error)));
  mapped.data_ = static_cast<uint8_t*>(data);
  mapped.size_ = static_cast<size_t>(status.st_size);
  return mapped;
}

void MappedFile::forget(int64_t offset, int64_t bytes) const {
  constexpr int64_t kPage = 4096;
  if (data_ == nullptr || bytes <= 0) return;
  assert(offset >= 0 && offset + bytes <= static_cast<int64_t>(size_));
  const int64_t begin = offset / kPage * kPage;
  madvise(data_ + begin, static_cast<size_t>(offset + bytes - begin), MADV_DONTNEED);  // read-only, shared: no loss
}

void MappedFile::read_ahead(bool on) const {
  if (data_ != nullptr) madvise(data_, size_, on ? MADV_NORMAL : MADV_RANDOM);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      modified_(other.modified_),
      inode_(other.inode_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(modified_, other.modified_);
  std::swap(inode_, other.inode_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace skep::engine::native
