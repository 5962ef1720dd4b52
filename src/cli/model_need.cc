#include "cli/model_need.h"

#include <boost/json.hpp>

#include "engine/engine.h"
#include "model/worker_engine.h"

namespace skep::cli {

namespace json = boost::json;

namespace {
constexpr int kDefaultSlots = 4;  // the daemon's
}  // namespace

Bytes ModelNeed::total() const {
  Bytes sum = process;
  for (const engine::MemoryUse& use : loaded.memory) sum += use.total();
  return sum;
}

Result<ModelNeed> measure_need(const std::string& path, const daemon::Config& config, int context, int slots,
                               bool embeds) {
  engine::LoadOptions options;
  options.path = path;
  options.context_tokens = context > 0 ? context : config.engines.context;
  options.sequences = slots > 0 ? slots : config.engines.slots > 0 ? config.engines.slots : kDefaultSlots;
  options.kv_tokens = config.engines.kv_tokens;
  options.batch_tokens = config.engines.batch;
  options.threads = config.engines.threads;
  options.gpu_layers = config.engines.gpu_layers;  // load_model() knows what this machine has
  options.forward = config.engines.forward;
  options.kv_type = config.engines.kv_type;
  options.embeddings = embeds;
  options.measure_only = true;
  SKEP_TRY(engine::ReadyModel measured, engine::load_model(options, {}));
  return ModelNeed{std::move(measured.loaded), options.sequences, model::WorkerOptions{}.overhead};
}

std::string need_text(const ModelNeed& need) {
  std::string text = fmt::format("needs {} for {} contexts of {} tokens:", to_string(need.total()), need.slots,
                                 need.loaded.context_tokens);
  for (const engine::MemoryUse& use : need.loaded.memory) {
    text += fmt::format(" on {}: weights {}, KV cache {}, compute {};", use.device, to_string(use.weights),
                        to_string(use.kv), to_string(use.compute));
  }
  return text + fmt::format(" the process {}\n", to_string(need.process));
}

json::object need_json(const ModelNeed& need) {
  json::array devices;
  for (const engine::MemoryUse& use : need.loaded.memory) {
    devices.push_back(json::object{{"device", use.device},
                                   {"weight_bytes", use.weights.count},
                                   {"kv_bytes", use.kv.count},
                                   {"compute_bytes", use.compute.count}});
  }
  return {{"context_tokens", need.loaded.context_tokens},
          {"slots", need.slots},
          {"devices", std::move(devices)},
          {"process_bytes", need.process.count},
          {"total_bytes", need.total().count}};
}

}  // namespace skep::cli
