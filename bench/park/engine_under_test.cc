#include "engine_under_test.h"

#include <algorithm>
#include <filesystem>

#include "engine/synth/synth.h"

namespace skep::bench {

Result<std::string> bench_model(const ParkBenchOptions& options) {
  if (!options.model.empty()) return options.model;
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  synth::SynthOptions synth;
  synth.shape = *synth::find_shape("smollm-135m");
  synth.path = options.folder + "/bench.gguf";
  if (!std::filesystem::exists(synth.path, error)) SKEP_CHECK(synth::synthesize(synth));
  return synth.path;
}

Result<engine::ReadyModel> load_bench_model(const std::string& path, const std::string& forward, int slots,
                                            int kv_tokens) {
  engine::LoadOptions load;
  load.path = path;
  load.context_tokens = 2048;
  load.sequences = slots;
  load.kv_tokens = kv_tokens;
  load.forward = forward;
  return engine::load_model(load, {});
}

Status evaluate(engine::Forward& forward, engine::SequenceId sequence, std::span<const engine::Token> tokens,
                int from) {
  const int most = forward.limits().batch_tokens;
  for (int at = from; at < static_cast<int>(tokens.size()); at += most) {
    const auto count = std::min<size_t>(static_cast<size_t>(most), tokens.size() - static_cast<size_t>(at));
    const engine::Slice slice{sequence, at, tokens.subspan(static_cast<size_t>(at), count), 1};
    SKEP_CHECK(forward.step({&slice, 1}));
  }
  return {};
}

}  // namespace skep::bench
