#pragma once
// Bytes at offsets: what a file reader needs of a file, so that tests and the fuzzer can hand it bytes in memory.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace skep::model {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  [[nodiscard]] virtual int64_t size() const = 0;
  // Fills `out` from `offset`. Asking beyond size() is the caller's bug; a file that shrank meanwhile is `corrupt`.
  virtual Status read(int64_t offset, std::span<std::byte> out) = 0;
};

// A file opened for reading. Uses pread, not a memory map: a file that is truncated while it is read must be an error
// here, not a signal.
class FileSource final : public ByteSource {
 public:
  // not_found, permission_denied or io; what is no regular file is refused.
  static Result<std::unique_ptr<FileSource>> open(const std::string& path);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  [[nodiscard]] int64_t size() const override { return size_; }
  Status read(int64_t offset, std::span<std::byte> out) override;

 private:
  FileSource(std::string path, int fd, int64_t size) : path_(std::move(path)), fd_(fd), size_(size) {}
  std::string path_;
  int fd_;
  int64_t size_;
};

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}  // which must live as long
  [[nodiscard]] int64_t size() const override { return static_cast<int64_t>(bytes_.size()); }
  Status read(int64_t offset, std::span<std::byte> out) override;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace skep::model
