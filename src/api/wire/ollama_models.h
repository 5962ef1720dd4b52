#pragma once
// GET /api/tags and /api/ps, POST /api/show.

#include <string>
#include <vector>

#include "api/backend.h"

namespace skep::api::wire {

std::string ollama_tags(const std::vector<model::ModelInfo>& models);  // broken ones are left out
// `now`: what does not expire is said to do so in a hundred years, as Ollama does it.
std::string ollama_ps(const std::vector<RunningModel>& running, WallTime now);
std::string ollama_show(const model::ModelInfo& model);

std::string parameter_size(int64_t parameters);  // "143M", "7.6B"

}  // namespace skep::api::wire
