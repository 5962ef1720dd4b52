#pragma once
// One process at a time in a folder: a lock on its file `lock`, which the kernel lets go of when the process dies.

#include <string>
#include <utility>

#include "base/result.h"

namespace skep {

// Held until it goes.
class FolderLock {
 public:
  // Creates the folder where it is missing. `conflict`: another process has it, or another lock of this one; `io`.
  static Result<FolderLock> take(const std::string& folder);
  FolderLock(FolderLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  FolderLock& operator=(FolderLock&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~FolderLock();

 private:
  explicit FolderLock(int file) : file_(file) {}
  int file_;
};

}  // namespace skep
