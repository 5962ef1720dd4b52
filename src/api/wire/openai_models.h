#pragma once
// GET /v1/models and /v1/models/{id}: everything that `model` may be, which is models, then tiers, agents and auto.

#include <string>
#include <utility>
#include <vector>

#include "model/model_info.h"

namespace skep::api::wire {

using Aliases = std::vector<std::pair<std::string, std::string>>;  // a tier's or agent's name, its model

std::string openai_models(const std::vector<model::ModelInfo>& models, const Aliases& aliases, int64_t now);
std::string openai_model(const std::string& id, const model::ModelInfo& model);

}  // namespace skep::api::wire
