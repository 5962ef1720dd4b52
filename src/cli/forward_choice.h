#pragma once
// Which forward pass a worker on CPUs would choose for a model, for `skep model inspect`.

#include <string>

#include "model/gguf.h"

namespace skep::cli {

// "native", or "libllama: architecture gemma2": as `skep ps` shows it.
std::string forward_choice(const model::GgufFile& file);

}  // namespace skep::cli
