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
  void forget() const;

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace skep::engine::native
