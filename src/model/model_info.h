#pragma once
// What the catalog knows of a model without loading it.

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/units.h"

namespace skep::model {

struct ModelInfo {
  std::string name;          // unique: file name without .gguf, or the name given in the config (may hold '/' and ':')
  std::string path;          // empty for an HTTP engine
  std::string architecture;  // "llama", "qwen2", …
  std::string quantization;  // "Q4_0", "Q4_K_M", "F16"
  int64_t parameters = 0;
  Bytes file_size;
  int context_length = 0;  // trained for, tokens
  int embedding_length = 0;
  int layers = 0;
  bool has_chat_template = false;
  std::string chat_template;  // its text; empty: none
  bool adapter = false;       // a LoRA adapter for models of this architecture and width; as a model it is broken
  bool embeds = false;        // an encoder: embeddings only
  std::string hash;           // of size, metadata and sampled tensor data, hex; the key of saved state
  WallTime modified{};
  std::string broken;                     // why it can't be used; empty: it can
  std::vector<std::string> capabilities;  // "completion", "tools", "embedding", "thinking"
};

}  // namespace skep::model
