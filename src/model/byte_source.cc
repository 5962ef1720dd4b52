#include "model/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>

namespace skep::model {

Result<std::unique_ptr<FileSource>> FileSource::open(const std::string& path) {
  const auto failed = [&](int number) {
    const ErrorCode code = number == ENOENT   ? ErrorCode::not_found
                           : number == EACCES ? ErrorCode::permission_denied
                                              : ErrorCode::io;
    return fail(code, fmt::format("{}: {}", path, std::strerror(number)));
  };
  // Without O_NONBLOCK, opening a pipe would wait for its other end.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failed(errno);
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    const int number = S_ISREG(info.st_mode) ? errno : EINVAL;
    ::close(fd);
    if (number == EINVAL) return fail(ErrorCode::invalid_argument, path + ": is no regular file");
    return failed(number);
  }
  return std::unique_ptr<FileSource>(new FileSource(path, fd, info.st_size));
}

FileSource::~FileSource() { ::close(fd_); }

Status FileSource::read(int64_t offset, std::span<std::byte> out) {
  assert(offset >= 0 && offset + static_cast<int64_t>(out.size()) <= size_);
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(ErrorCode::io, fmt::format("{}: {}", path_, std::strerror(errno)));
    if (n == 0) return fail(ErrorCode::corrupt, path_ + ": shrank while it was read");
    offset += n;
    out = out.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status MemorySource::read(int64_t offset, std::span<std::byte> out) {
  assert(offset >= 0 && offset + static_cast<int64_t>(out.size()) <= size());
  if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
  return {};
}

}  // namespace skep::model
