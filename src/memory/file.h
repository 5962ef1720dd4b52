#pragma once
// What the stores of this folder ask of a file system: whole files that are there entirely or not at all, and a lock.

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace skep::memory {

// "cannot <verb> <path>: <what errno says>"; no space left becomes `overloaded`.
Error io_error(std::string_view verb, const std::string& path);

// not_found: it isn't there.
Result<std::string> read_file(const std::string& path);

// A file that takes the place of another: written beside it, synced, renamed, the folder synced. After a crash the old
// one stands there or the new one.
class FileReplacement {
 public:
  static Result<FileReplacement> begin(const std::string& path);
  FileReplacement(FileReplacement&& other) noexcept;
  FileReplacement& operator=(FileReplacement&&) = delete;
  ~FileReplacement();  // without commit(): nothing happened

  Status write(std::string_view bytes);  // buffered
  Status commit();

 private:
  FileReplacement(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  Status flush();
  std::string path_, buffer_;
  int fd_ = -1;
};
Status sync_folder(const std::string& folder);

}  // namespace skep::memory
