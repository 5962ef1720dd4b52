#pragma once
// From a GGUF file's header to what the catalog tells of it. Pure.

#include <string>
#include <vector>

#include "base/units.h"
#include "model/gguf.h"
#include "model/model_info.h"

namespace skep::model {

// One file of a model; split models have several.
struct FileSummary {
  ModelInfo info;       // without name, path, hash, modified; `broken` is set where libllama could not run it alone
  int split_count = 1;  // split.count
  int split_index = 0;  // split.no, from 0
};
FileSummary describe(const GgufFile& file);

// "Q4_K_M" from general.file_type; without it, the type that most bytes are stored in.
std::string quantization_of(const GgufFile& file);

// Text from a file as the rest of the program may show and send it: valid UTF-8 without control characters, cut to
// `most_bytes`.
std::string presentable(std::string_view text, size_t most_bytes = 256);

}  // namespace skep::model
