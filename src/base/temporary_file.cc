#include "base/temporary_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace skep {
namespace {

Error io_error(const std::string& what, const std::string& path, int number) {
  return Error{number == EACCES || number == EPERM ? ErrorCode::permission_denied : ErrorCode::io,
               fmt::format("{}: {}: {}", path, what, std::strerror(number)),
               {}};
}

std::string folder_of(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

Result<std::unique_ptr<TemporaryFile>> TemporaryFile::create(const std::string& path) {
  int fd = ::open(folder_of(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
  std::string name;
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {  // the file system can't
    name = path + ".XXXXXX";
    fd = ::mkostemp(name.data(), O_CLOEXEC);
  }
  if (fd < 0) return fail(io_error("can't create a file here", path, errno));
  return std::unique_ptr<TemporaryFile>(new TemporaryFile(path, name, fd));
}

TemporaryFile::~TemporaryFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!name_.empty()) ::unlink(name_.c_str());
}

std::string TemporaryFile::path() const { return name_.empty() ? fmt::format("/proc/self/fd/{}", fd_) : name_; }

Status TemporaryFile::reserve(int64_t bytes) {
  const int error = ::posix_fallocate(fd_, 0, bytes);
  if (error == EOPNOTSUPP || error == EINVAL) return {};  // the file system can't
  if (error != 0) return fail(io_error(fmt::format("can't reserve {} bytes", bytes), path_, error));
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

Error TemporaryFile::write_error(int number) const { return io_error("can't write", path_, number); }

Status TemporaryFile::write(const void* data, size_t size, int64_t offset) const {
  const int error = write_at(data, size, offset);
  if (error != 0) return fail(write_error(error));
  return {};
}

void TemporaryFile::begin_write_out() const { ::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE); }

Status TemporaryFile::publish(bool overwrite) {
  if (::fchmod(fd_, 0644) != 0 || ::fsync(fd_) != 0) return fail(io_error("can't write", path_, errno));
  SKEP_CHECK(give_name(overwrite));
  return sync_folder();
}

// link() refuses a name that exists and rename() replaces it, in one step each; a file without a name can only be
// linked, so replacing takes a name of its own first.
Status TemporaryFile::give_name(bool overwrite) {
  const std::string self = fmt::format("/proc/self/fd/{}", fd_);
  const auto link_to = [&](const std::string& to) {
    return ::linkat(AT_FDCWD, name_.empty() ? self.c_str() : name_.c_str(), AT_FDCWD, to.c_str(),
                    name_.empty() ? AT_SYMLINK_FOLLOW : 0);
  };
  if (link_to(path_) == 0) return {};  // the destructor removes the temporary name
  if (errno != EEXIST) {
    if (name_.empty() || errno == ENOENT) return fail(io_error("can't name it", path_, errno));
  } else if (!overwrite) {
    return fail(ErrorCode::conflict, path_ + " exists already", "--force replaces it");
  }
  if (name_.empty()) {
    const std::string name = fmt::format("{}.{}.tmp", path_, ::getpid());
    ::unlink(name.c_str());  // of an earlier process with our id
    if (link_to(name) != 0) return fail(io_error("can't name it", path_, errno));
    name_ = name;
  }
  if (::rename(name_.c_str(), path_.c_str()) != 0) return fail(io_error("can't rename to it", path_, errno));
  name_.clear();
  return {};
}

Status TemporaryFile::sync_folder() const {
  const int fd = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail(io_error("can't open its folder", path_, errno));
  const int synced = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (synced != 0 && error != EINVAL) return fail(io_error("can't sync its folder", path_, error));
  return {};
}

}  // namespace skep
