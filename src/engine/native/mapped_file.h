#pragma once
// A file mapped read-only. Its pages are the operating system's: shared between processes, dropped under pressure.

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace skep::engine::native {

class MappedFile {
 public:
  MappedFile() = default;
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  [[nodiscard]] std::span<const uint8_t> bytes() const { return {data_, size_}; }
  // What was read so far no longer counts as this process's memory. The contents stay, and are read again when needed.
  void forget() const { forget(0, static_cast<int64_t>(size_)); }
  void forget(int64_t offset, int64_t bytes) const;  // of a part; any thread

  // Off: a page that is read brings no others along, which the system guesses will be next (8 MiB of them on some
  // disks).
  void read_ahead(bool on) const;

  // Of the file when it was opened: who writes to it changes one of them.
  [[nodiscard]] int64_t modified() const { return modified_; }  // ns since the epoch
  [[nodiscard]] uint64_t inode() const { return inode_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int64_t modified_ = 0;
  uint64_t inode_ = 0;
};

}  // namespace skep::engine::native
