#pragma once
// What patch() has made so far, under a name of its own so that it survives the process. Locked: two patches of one
// output are refused. Failures are `io` and say what the system says, unless told otherwise.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace skep::model_tools {

class PartFile {
 public:
  // Makes it, or goes on with what is there. conflict: another patch is at work on it, or has just finished it.
  static Result<std::unique_ptr<PartFile>> open(const std::string& path);
  // The second half of that, of a file that was opened by this name: takes `fd` over and locks it. Between the two
  // another patch may have finished and given the file its final name: then what is locked is the new model, and
  // nobody may write to that: conflict.
  static Result<std::unique_ptr<PartFile>> lock(int fd, const std::string& path);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  // How many bytes were read: fewer than asked for where the file ends.
  Result<size_t> read(uint64_t offset, std::span<uint8_t> out);
  Status write(uint64_t offset, std::span<const uint8_t> bytes);
  // Cuts it to `size`, and replaces `name` by it once it is on the disk.
  Status become(const std::string& name, uint64_t size);
  void remove();

 private:
  PartFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
};

}  // namespace skep::model_tools
