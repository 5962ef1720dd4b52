#pragma once
// A file under a temporary name beside its final one; gone again unless published, so that nobody sees half of it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace skep::synth {

Error io_error(const std::string& what, const std::string& path, int number);

class TemporaryFile {
 public:
  static Result<std::unique_ptr<TemporaryFile>> create(const std::string& path);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  // Claims the disk space now, so that a full disk shows before the work is done.
  Status reserve(int64_t bytes);
  // Thread-safe. 0 or the errno.
  [[nodiscard]] int write_at(const void* data, size_t size, int64_t offset) const;
  // conflict: the name is taken, unless it is to be overwritten.
  Status publish(bool overwrite);

 private:
  TemporaryFile(std::string path, std::string name, int fd) : path_(std::move(path)), name_(std::move(name)), fd_(fd) {}
  Status sync_folder();

  std::string path_, name_;
  int fd_ = -1;
  bool published_ = false;
};

}  // namespace skep::synth
