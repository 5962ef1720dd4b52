#include "model_tools/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace skep::model_tools {
namespace {

Error io_error(const std::string& what, const std::string& path) {
  return Error{ErrorCode::io, fmt::format("{}: {}: {}", path, what, std::strerror(errno)), {}};
}

}  // namespace

Result<std::unique_ptr<PartFile>> PartFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return fail(io_error("can't be written", path));
  return lock(fd, path);
}

Result<std::unique_ptr<PartFile>> PartFile::lock(int fd, const std::string& path) {
  std::unique_ptr<PartFile> part(new PartFile(path, fd));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::conflict, path + ": another patch is at work on it");
  }
  struct stat locked {
  }, named{};
  if (::fstat(fd, &locked) != 0 || ::stat(path.c_str(), &named) != 0 || locked.st_ino != named.st_ino ||
      locked.st_dev != named.st_dev) {
    return fail(ErrorCode::conflict, path + ": another patch has just finished it");
  }
  return part;
}

PartFile::~PartFile() { ::close(fd_); }

Result<size_t> PartFile::read(uint64_t offset, std::span<uint8_t> out) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(io_error("can't be read", path_));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

Status PartFile::write(uint64_t offset, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(io_error("can't be written", path_));
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Status PartFile::become(const std::string& name, uint64_t size) {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0 || ::fsync(fd_) != 0) {
    return fail(io_error("can't be written", path_));
  }
  if (::rename(path_.c_str(), name.c_str()) != 0) return fail(io_error("can't be renamed to", name));
  const std::string folder = std::filesystem::path(name).parent_path().string();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) ::fsync(fd), ::close(fd);
  return {};
}

void PartFile::remove() { ::unlink(path_.c_str()); }

}  // namespace skep::model_tools
