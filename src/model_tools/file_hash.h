#pragma once
// SHA-256 of a file while it is read in pieces.

#include <cstddef>
#include <memory>
#include <span>

#include "model_tools/delta_format.h"

namespace skep::model_tools {

class FileHash {
 public:
  FileHash();
  ~FileHash();
  FileHash(const FileHash&) = delete;
  FileHash& operator=(const FileHash&) = delete;
  void add(std::span<const uint8_t> bytes);
  [[nodiscard]] Sha256 finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skep::model_tools
