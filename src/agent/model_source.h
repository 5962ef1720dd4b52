#pragma once
// What the planner needs to know of models; the daemon's ModelDirectory knows it.

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/model_info.h"

namespace skep::agent {

class ModelSource {
 public:
  virtual ~ModelSource() = default;
  // A model by any way of writing its name (not a tier, not an agent): not_found, or unsupported for a broken one.
  [[nodiscard]] virtual Result<model::ModelInfo> find(std::string_view name) const = 0;
  // The first of the tier's models that can be used: not_found names those that were looked for.
  [[nodiscard]] virtual Result<model::ModelInfo> tier(std::string_view tier) const = 0;
  // The file of a LoRA adapter for the model: not_found, invalid_argument (not for this model), unsupported (the engine
  // was told of no such adapter: they are named in the roster or in engines.adapters).
  [[nodiscard]] virtual Result<std::string> adapter(std::string_view name, const model::ModelInfo& model) const = 0;
};

}  // namespace skep::agent
