#pragma once
// Which model makes the daemon's vectors, and how it is asked: long_term.embedder, else the first embedding model of
// the catalog, else the fast tier's model, whose hidden states are pooled in an engine of their own.

#include <string>

#include "api/backend.h"
#include "daemon/model_directory.h"
#include "memory/embedder.h"

namespace skep::daemon {

class ModelEmbedder final : public memory::EmbedderSource {
 public:
  // All outlive this.
  ModelEmbedder(const Config& config, const ModelDirectory& directory, api::Backend& backend)
      : config_(config), directory_(directory), backend_(backend) {}

  Result<std::string> identity() override;
  void embed(std::vector<std::string> texts,
             std::function<void(Result<std::vector<std::vector<float>>>)> done) override;

 private:
  [[nodiscard]] Result<model::ModelInfo> model() const;

  const Config& config_;
  const ModelDirectory& directory_;
  api::Backend& backend_;
};

}  // namespace skep::daemon
