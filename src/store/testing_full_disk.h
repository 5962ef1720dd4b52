#pragma once
// For tests: no room on the disk. The process's own limit on file sizes (RLIMIT_FSIZE) stands for it: writes beyond it
// fail with EFBIG as they fail with ENOSPC on a full disk, until this is gone.

#include <sys/resource.h>

#include <csignal>

namespace skep::store {

class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
};

}  // namespace skep::store
