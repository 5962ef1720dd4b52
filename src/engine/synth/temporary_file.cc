#include "engine/synth/temporary_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/units.h"

namespace skep::synth {

Error io_error(const std::string& what, const std::string& path, int number) {
  return Error{ErrorCode::io, fmt::format("{}: {}: {}", path, what, std::strerror(number)), {}};
}

Result<std::unique_ptr<TemporaryFile>> TemporaryFile::create(const std::string& path) {
  std::string name = path + ".XXXXXX";
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return fail(io_error("can't create a file here", path, errno));
  return std::unique_ptr<TemporaryFile>(new TemporaryFile(path, name, fd));
}

TemporaryFile::~TemporaryFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!published_) ::unlink(name_.c_str());
}

Status TemporaryFile::reserve(int64_t bytes) {
  const int error = ::posix_fallocate(fd_, 0, bytes);
  if (error == EOPNOTSUPP || error == EINVAL) return {};  // the file system can't
  if (error != 0) return fail(io_error(fmt::format("can't reserve {}", to_string(Bytes(bytes))), path_, error));
  return {};
}

int TemporaryFile::write_at(const void* data, size_t size, int64_t offset) const {
  const auto* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::pwrite(fd_, at, size, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0 ? ENOSPC : errno;
    at += n, offset += n, size -= static_cast<size_t>(n);
  }
  return 0;
}

Status TemporaryFile::publish(bool overwrite) {
  if (::fchmod(fd_, 0644) != 0 || ::fsync(fd_) != 0) return fail(io_error("can't write", path_, errno));
  if (!overwrite) {  // link() refuses an existing name; rename() would replace a file made meanwhile
    if (::link(name_.c_str(), path_.c_str()) == 0) return sync_folder();
    if (errno == EEXIST) return fail(ErrorCode::conflict, path_ + " exists already");
  }
  if (::rename(name_.c_str(), path_.c_str()) != 0) return fail(io_error("can't rename to it", path_, errno));
  published_ = true;
  return sync_folder();
}

Status TemporaryFile::sync_folder() {
  std::string folder = std::filesystem::path(path_).parent_path().string();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail(io_error("can't open its folder", path_, errno));
  const int synced = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (synced != 0 && error != EINVAL) return fail(io_error("can't sync its folder", path_, error));
  return {};
}

}  // namespace skep::synth
