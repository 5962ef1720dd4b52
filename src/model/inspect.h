#pragma once
// A GGUF file's header for people (`skep model inspect`) and for programs (--json).

#include <cstdint>
#include <string>
#include <vector>

#include "model/gguf.h"

namespace skep::model {

// What is stored in one type.
struct StorageUse {
  uint32_t type = 0;
  int64_t tensors = 0;
  int64_t elements = 0;
  Bytes bytes;
};
std::vector<StorageUse> storage_of(const GgufFile& file);  // most bytes first

struct InspectOptions {
  bool tensors = false;  // every tensor, not only the sums
  size_t columns = 80;   // lines are cut to that
};

std::string inspect_text(const GgufFile& file, const std::string& path, const InspectOptions& options);
// One object: path, file_size, version, architecture, parameters, quantization, metadata {key: value}, storage […],
// tensors […]. Arrays that are not kept in full stand as {"type", "count", "first"}.
// `forward`: which forward pass runs it here; empty: left out.
std::string inspect_json(const GgufFile& file, const std::string& path, const std::string& forward = {});

}  // namespace skep::model
