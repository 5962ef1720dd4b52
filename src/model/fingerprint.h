#pragma once
// A key that stays the same for the same model wherever it lies, and changes when its content does: what saved state
// (KV caches, responses) goes by. Not a proof against forgery.

#include <span>
#include <string>

#include "base/result.h"
#include "model/gguf.h"

namespace skep::model {

// XXH3-128 of the file's size, its whole header and 64 samples of 4 KiB spread evenly over its tensors, the first and
// last bytes among them; 32 hex digits. Reads 256 KiB beyond the header, however large the file. Blocking.
Result<std::string> fingerprint(ByteSource& source, const GgufFile& file);

// Of a model in several files, from its parts' in their order. A single part's is its own.
std::string combine_fingerprints(std::span<const std::string> parts);

}  // namespace skep::model
