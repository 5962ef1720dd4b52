#include "base/folder_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace skep {

Result<FolderLock> FolderLock::take(const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return fail(ErrorCode::io, fmt::format("{}: {}", folder, failed.message()));
  const std::string path = folder + "/lock";
  const auto io_error = [&] {
    return fail(ErrorCode::io, fmt::format("{}: {}", path, std::generic_category().message(errno)));
  };
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return io_error();
  FolderLock lock(file);
  if (::flock(file, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return io_error();
  return fail(ErrorCode::conflict, fmt::format("{}: another skep works in this folder", folder),
              "give each a folder of its own");
}

FolderLock::~FolderLock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace skep
