#pragma once
// Which forward pass a worker would choose for a model here, for `skep model inspect`.

#include <string>

#include "engine/messages.h"
#include "model/gguf.h"

namespace skep::cli {

// "native", or "libllama: architecture gemma2": as `skep ps` shows it. `options`: what the daemon would load it with.
std::string forward_choice(const model::GgufFile& file, engine::LoadOptions options);

}  // namespace skep::cli
