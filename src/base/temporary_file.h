#pragma once
// A file that appears under its name only when it is complete. It has no name until then (O_TMPFILE), so a process that
// is killed leaves nothing behind, not even by `kill -9`; on file systems that can't do that it has a temporary name
// beside its final one, which the destructor removes. Every tool that writes a large file writes it through this.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace skep {

class TemporaryFile {
 public:
  // In the folder of `path`, where the file will be. io: no such folder, no permission.
  static Result<std::unique_ptr<TemporaryFile>> create(const std::string& path);
  ~TemporaryFile();  // gone, unless it was published
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  // For programs and libraries that open files by name, until publish().
  [[nodiscard]] std::string path() const;
  [[nodiscard]] int descriptor() const { return fd_; }

  // Claims the disk space now, so that a full disk shows before the work is done.
  Status reserve(int64_t bytes);
  // Thread-safe. 0 or the errno.
  [[nodiscard]] int write_at(const void* data, size_t size, int64_t offset) const;
  // What write_at() returned, as an Error that names the file.
  [[nodiscard]] Error write_error(int number) const;
  // write_at() as a Status.
  Status write(const void* data, size_t size, int64_t offset) const;

  // The system begins to write out what it was given so far, so that publish() has less to wait for. Where it can't, it
  // doesn't.
  void begin_write_out() const;
  // Synchronizes it and gives it its name. Without `overwrite` an existing file is a conflict; with it, whoever has the
  // old one open or mapped keeps that.
  Status publish(bool overwrite);

 private:
  TemporaryFile(std::string path, std::string name, int fd) : path_(std::move(path)), name_(std::move(name)), fd_(fd) {}
  Status give_name(bool overwrite);
  Status sync_folder() const;

  std::string path_;  // where it will be
  std::string name_;  // where it is now; empty: nowhere
  int fd_ = -1;
};

}  // namespace skep
