#include "memory/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace skep::memory {
namespace {

class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

Error io_error(std::string_view verb, const std::string& path) {
  const int why = errno;
  Error error{ErrorCode::io, fmt::format("cannot {} {}: {}", verb, path, std::strerror(why)), {}};
  if (why == ENOSPC || why == EDQUOT || why == EFBIG) {
    error.code = ErrorCode::overloaded;
    error.hint = "free some space; what is there can still be read";
  }
  return error;
}

Result<std::string> read_file(const std::string& path) {
  const OpenFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) {
    Error error = io_error("open", path);
    if (errno == ENOENT) error.code = ErrorCode::not_found;
    return fail(std::move(error));
  }
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) return fail(io_error("look at", path));
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n = ::read(file.fd(), bytes.data() + have, bytes.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(io_error("read", path));
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  bytes.resize(have);
  return bytes;
}

Status sync_folder(const std::string& folder) {
  const OpenFile file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.fd() < 0 || ::fsync(file.fd()) != 0) return fail(io_error("sync", folder));
  return {};
}

Result<FileReplacement> FileReplacement::begin(const std::string& path) {
  const std::string beside = path + ".new";
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return fail(io_error("create", beside));
  return FileReplacement(path, fd);
}

FileReplacement::FileReplacement(FileReplacement&& other) noexcept
    : path_(std::move(other.path_)), buffer_(std::move(other.buffer_)), fd_(std::exchange(other.fd_, -1)) {}

FileReplacement::~FileReplacement() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink((path_ + ".new").c_str());
}

Status FileReplacement::write(std::string_view bytes) {
  constexpr size_t kBuffer = 1U << 20U;
  buffer_ += bytes;
  return buffer_.size() >= kBuffer ? flush() : Status();
}

Status FileReplacement::flush() {
  for (size_t written = 0; written < buffer_.size();) {
    const ssize_t n = ::write(fd_, buffer_.data() + written, buffer_.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(io_error("write", path_ + ".new"));
    written += static_cast<size_t>(n);
  }
  buffer_.clear();
  return {};
}

Status FileReplacement::commit() {
  SKEP_CHECK(flush());
  const std::string beside = path_ + ".new";
  if (::fdatasync(fd_) != 0) return fail(io_error("sync", beside));
  if (::rename(beside.c_str(), path_.c_str()) != 0) return fail(io_error("rename", beside));
  ::close(std::exchange(fd_, -1));
  return sync_folder(std::filesystem::path(path_).parent_path().string());
}

}  // namespace skep::memory
