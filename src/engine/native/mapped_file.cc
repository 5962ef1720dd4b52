#include "engine/native/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
  if (status.st_size == 0) return mapped;
  if (data == MAP_FAILED) return fail(ErrorCode::io, fmt::format("{}: {}", path, std::strerror(error)));
  mapped.data_ = static_cast<uint8_t*>(data);
  mapped.size_ = static_cast<size_t>(status.st_size);
  return mapped;
}

void MappedFile::forget() const {
  if (data_ != nullptr) madvise(data_, size_, MADV_DONTNEED);  // read-only and shared: nothing is lost
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace skep::engine::native
