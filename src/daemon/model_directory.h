#pragma once
// Names and what they stand for: the models of the catalog, the remote engines of the config, the tiers. Tells the
// residency how each is loaded, and again whenever files change. Lives on the event loop.

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model_source.h"
#include "daemon/config.h"
#include "model/catalog.h"
#include "model/engine.h"
#include "model/residency.h"

namespace skep::daemon {

// Room that an engine of `model` needs for those of `enabled` LoRA adapters that fit it, which stand among `models`: at
// most `limit`.
Bytes adapter_bytes(std::span<const model::ModelInfo> models, std::span<const std::string> enabled,
                    const model::ModelInfo& model, Bytes limit);

class ModelDirectory final : public agent::ModelSource {
 public:
  // `workers` starts local engines; `remotes` has one factory per config.remotes, by name. All outlive this.
  // `adapters`: names of the LoRA adapters that the roster's agents use.
  ModelDirectory(const Config& config, model::Catalog& catalog, model::Residency& residency,
                 model::EngineFactory& workers, std::map<std::string, model::EngineFactory*> remotes,
                 std::vector<std::string> adapters);

  // Defines what is new, forgets what has gone. Call after the catalog changed.
  void refresh();
  // Loads what the config wants at the start.
  void preload();

  [[nodiscard]] std::vector<model::ModelInfo> models() const;  // remotes after files
  // A model's name as the catalog has it, by any way of writing it. Not tiers, not agents.
  [[nodiscard]] Result<model::ModelInfo> find(std::string_view name) const override;
  // The first of the tier's models that can be used; not_found names those that were looked for.
  [[nodiscard]] Result<model::ModelInfo> tier(std::string_view tier) const override;
  [[nodiscard]] Result<std::string> adapter(std::string_view name, const model::ModelInfo& model) const override;
  [[nodiscard]] bool is_tier(std::string_view name) const;

  // The residency's name of the engine that embeds with this model: a generating model embeds in an engine of its own.
  Result<std::string> embedding_engine(const model::ModelInfo& model);

 private:
  [[nodiscard]] model::EngineSpec spec_of(const model::ModelInfo& model, bool embeds) const;
  [[nodiscard]] Bytes adapter_room(const model::ModelInfo& model) const;
  [[nodiscard]] std::optional<model::ModelInfo> remote(std::string_view name) const;

  const Config& config_;
  model::Catalog& catalog_;
  model::Residency& residency_;
  model::EngineFactory& workers_;
  std::map<std::string, model::EngineFactory*> remotes_;
  std::vector<std::string> adapters_;           // that may be used
  std::map<std::string, std::string> defined_;  // engine's name → what it was defined for: the file, its adapters
};

}  // namespace skep::daemon
