#include "daemon/model_directory.h"

#include <algorithm>
#include <set>

#include "base/nearest.h"
#include "daemon/parked_folder.h"

namespace skep::daemon {
namespace {

constexpr int kDefaultSlots = 4;      // on a CPU more slots are not more speed (doc/decisions.md)
constexpr int64_t kParkedShare = 16;  // of the budget, for each engine
constexpr const char* kEmbeds = " (embeddings)";

// Samples of a file tell models apart, and miss a few weights that are changed in place.
std::string version_of(const model::ModelInfo& model) {
  return fmt::format("{} {}", model.hash, model.modified.time_since_epoch().count());
}

bool suits(const model::ModelInfo& adapter, const model::ModelInfo& model) {
  return adapter.architecture == model.architecture &&
         (adapter.embedding_length == 0 || adapter.embedding_length == model.embedding_length);
}

}  // namespace

Bytes adapter_bytes(std::span<const model::ModelInfo> models, std::span<const std::string> enabled,
                    const model::ModelInfo& model, Bytes limit) {
  Bytes sum;
  for (const model::ModelInfo& info : models) {
    const bool wanted = std::ranges::find(enabled, info.name) != enabled.end();
    if (info.adapter && wanted && suits(info, model)) sum += info.file_size;
  }
  return std::min(sum, limit);
}

ModelDirectory::ModelDirectory(const Config& config, model::Catalog& catalog, model::Residency& residency,
                               model::EngineFactory& workers, std::map<std::string, model::EngineFactory*> remotes,
                               std::vector<std::string> adapters)
    : config_(config),
      catalog_(catalog),
      residency_(residency),
      workers_(workers),
      remotes_(std::move(remotes)),
      adapters_(std::move(adapters)) {
  adapters_.insert(adapters_.end(), config_.engines.adapters.begin(), config_.engines.adapters.end());
}

model::EngineSpec ModelDirectory::spec_of(const model::ModelInfo& model, bool embeds) const {
  model::EngineSpec spec;
  spec.factory = &workers_;
  engine::LoadOptions& options = spec.options;
  const Config::Engines& engines = config_.engines;
  options.path = model.path;
  options.model_hash = version_of(model);
  options.sequences = engines.slots > 0 ? engines.slots : kDefaultSlots;
  options.context_tokens = engines.context;
  options.kv_tokens = engines.kv_tokens;
  options.batch_tokens = engines.batch;
  options.threads = engines.threads;
  options.cpu_limit = engines.cpu_limit;
  options.gpu_layers = engines.gpu_layers;
  options.forward = engines.forward;
  options.kv_type = engines.kv_type;
  options.embeddings = embeds || model.embeds;
  if (!options.embeddings) {
    options.adapter_memory = adapter_room(model);
    options.park_memory = engines.park_memory.value_or(Bytes(residency_.ledger().capacity().count / kParkedShare));
    if (engines.park_disk > Bytes(0)) {
      options.park_directory = parked_folder(config_, model.hash);
      options.park_disk = engines.park_disk;
    }
  }
  spec.keep_alive = engines.keep_alive;
  if (auto named = config_.models.find(model.name); named != config_.models.end()) {
    const NamedModel& own = named->second;
    options.context_tokens = own.context.value_or(options.context_tokens);
    options.sequences = own.slots.value_or(options.sequences);
    options.gpu_layers = own.gpu_layers.value_or(options.gpu_layers);
    options.chat_template = own.chat_template;
    if (!own.kv_type.empty()) options.kv_type = own.kv_type;
    if (own.keep_alive) spec.keep_alive = own.keep_alive;
    spec.pinned = own.pin;
  }
  if (model.context_length > 0) options.context_tokens = std::min(options.context_tokens, model.context_length);
  return spec;
}

void ModelDirectory::refresh() {
  std::set<std::string> present;
  for (const model::ModelInfo& model : catalog_.models()) {
    if (!model.broken.empty()) continue;
    present.insert(model.name);
    const std::string what = fmt::format("{} {}", version_of(model), adapter_room(model).count);
    if (auto known = defined_.find(model.name); known != defined_.end() && known->second == what) continue;
    residency_.define(model.name, spec_of(model, false));
    if (defined_.contains(model.name + kEmbeds)) residency_.define(model.name + kEmbeds, spec_of(model, true));
    defined_[model.name] = what;
  }
  for (const RemoteEngine& remote : config_.remotes) {
    present.insert(remote.name);
    if (defined_.contains(remote.name)) continue;
    model::EngineSpec spec;
    spec.factory = remotes_.at(remote.name);
    spec.options.path = remote.model.empty() ? remote.name : remote.model;
    spec.options.sequences = remote.slots;
    spec.keep_alive = model::kForever;
    residency_.define(remote.name, std::move(spec));
    defined_[remote.name] = remote.url;
  }
  for (auto entry = defined_.begin(); entry != defined_.end();) {
    std::string name = entry->first;
    if (name.ends_with(kEmbeds)) name.resize(name.size() - std::string_view(kEmbeds).size());
    if (present.contains(name)) {
      ++entry;
      continue;
    }
    residency_.undefine(entry->first);
    entry = defined_.erase(entry);
  }
}

void ModelDirectory::preload() {
  for (const auto& [name, named] : config_.models) {
    if (named.preload && defined_.contains(name)) residency_.ensure(name, [](const Status&) {});
  }
}

std::vector<model::ModelInfo> ModelDirectory::models() const {
  std::vector<model::ModelInfo> all = catalog_.models();
  for (const RemoteEngine& one : config_.remotes) all.push_back(*remote(one.name));
  return all;
}

std::optional<model::ModelInfo> ModelDirectory::remote(std::string_view name) const {
  for (const RemoteEngine& one : config_.remotes) {
    if (one.name != name) continue;
    model::ModelInfo info;
    info.name = one.name;
    info.architecture = one.kind;
    info.has_chat_template = true;
    info.hash = one.url + " " + one.model;
    info.capabilities = {"completion", "tools"};
    return info;
  }
  return std::nullopt;
}

Result<model::ModelInfo> ModelDirectory::find(std::string_view name) const {
  if (auto found = remote(name)) return *found;
  return catalog_.find(name);
}

Bytes ModelDirectory::adapter_room(const model::ModelInfo& model) const {
  return adapter_bytes(catalog_.models(), adapters_, model, config_.engines.adapter_memory);
}

Result<std::string> ModelDirectory::adapter(std::string_view name, const model::ModelInfo& model) const {
  std::vector<std::string> names;
  for (const model::ModelInfo& info : catalog_.models()) {
    if (!info.adapter) continue;
    names.push_back(info.name);
    if (info.name != name) continue;
    if (!suits(info, model)) {
      return fail(ErrorCode::invalid_argument, fmt::format("the adapter {} is not for the model {}", name, model.name));
    }
    if (std::ranges::find(adapters_, name) == adapters_.end()) {
      return fail(ErrorCode::unsupported, fmt::format("no engine was made ready for the adapter {}", name),
                  "name it in engines.adapters, or as an agent's adapter in the roster");
    }
    return info.path;
  }
  return fail(ErrorCode::not_found, fmt::format("no adapter is called '{}'", name), did_you_mean(name, names));
}

bool ModelDirectory::is_tier(std::string_view name) const { return config_.tiers.contains(std::string(name)); }

Result<model::ModelInfo> ModelDirectory::tier(std::string_view name) const {
  auto tier = config_.tiers.find(std::string(name));
  if (tier == config_.tiers.end())
    return fail(ErrorCode::not_found, fmt::format("no tier is called '{}'", name), "fast, balanced or deep");
  std::string tried;
  for (const std::string& candidate : tier->second.models) {
    if (auto found = find(candidate); found && found->broken.empty()) return found;
    tried += (tried.empty() ? "" : ", ") + candidate;
  }
  return fail(ErrorCode::not_found, fmt::format("the tier {} has no model: none of {} is there", name, tried),
              "put a GGUF file into one of model_folders, or name another in tiers");
}

Result<std::string> ModelDirectory::embedding_engine(const model::ModelInfo& model) {
  if (model.path.empty() || model.embeds) return model.name;
  std::string name = model.name + kEmbeds;
  if (!defined_.contains(name)) {
    residency_.define(name, spec_of(model, true));
    defined_[name] = model.hash;
  }
  return name;
}

}  // namespace skep::daemon
