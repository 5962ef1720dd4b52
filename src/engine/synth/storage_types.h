#pragma once
// libggml's storage types, for those who may not include ggml.h but must agree with it.

#include <cstdint>
#include <string>
#include <vector>

namespace skep::synth {

struct StorageType {
  uint32_t number = 0;  // ggml_type, as in GGUF files
  std::string name;     // "Q4_K"
  int block = 0;        // values that share a block
  int bytes = 0;        // of a block
};
std::vector<StorageType> storage_types();  // those that exist, by number

}  // namespace skep::synth
