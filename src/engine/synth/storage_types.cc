#include "engine/synth/storage_types.h"

#include <cctype>

#include "ggml.h"

namespace skep::synth {

std::vector<StorageType> storage_types() {
  std::vector<StorageType> types;
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const auto type = static_cast<ggml_type>(i);
    if (ggml_blck_size(type) == 0) continue;  // was removed
    std::string name = ggml_type_name(type);
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    types.push_back({static_cast<uint32_t>(i), std::move(name), static_cast<int>(ggml_blck_size(type)),
                     static_cast<int>(ggml_type_size(type))});
  }
  return types;
}

}  // namespace skep::synth
